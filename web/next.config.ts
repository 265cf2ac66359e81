import type { NextConfig } from 'next'

const shared: NextConfig = { reactStrictMode: true, trailingSlash: true, turbopack: { root: import.meta.dirname } }

// The export is plain files, served by the signaling front, so nothing of Next.js runs in production. The development
// server stands in for that front's one rewrite, which an export cannot have.
const config: NextConfig =
  process.env.NODE_ENV === 'development'
    ? { ...shared, rewrites: async () => [{ source: '/r/:room', destination: '/r' }] }
    : { ...shared, output: 'export' }

export default config
