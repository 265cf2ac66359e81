// Bundles the page once for each version of mediasoup-client, into out/<version>.js; the pages themselves are plain HTML.
import { mkdir, writeFile } from 'node:fs/promises'
import { build } from 'esbuild'

const VERSIONS = { '3.24': 'mediasoup-client-3-24', '3.7': 'mediasoup-client-3-7' }

await mkdir('out', { recursive: true })
for (const [version, alias] of Object.entries(VERSIONS)) {
  await build({
    entryPoints: ['page.js'],
    bundle: true,
    format: 'iife',
    target: 'chrome111',
    outfile: `out/${version}.js`,
    alias: { 'mediasoup-client': alias },
    logLevel: 'warning',
  })
  const html = `<!doctype html><title>mediasoup-client ${version}</title><script src="${version}.js"></script>\n`
  await writeFile(`out/${version}.html`, html)
}
