// Bundles page.js once for each version of mediasoup-client, into out/<version>.js.
import { build } from 'esbuild'

const VERSIONS = { '3.24': 'mediasoup-client-3-24', '3.7': 'mediasoup-client-3-7' }

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
}
