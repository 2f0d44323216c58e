import packageJson from '../../../package.json' with { type: 'json' }

/** Of the programs that made a backup, for its manifest. */
export function toolVersions(): Record<string, string> {
  const { node, zstd = 'unknown' } = process.versions
  return { 'backup-operator': packageJson.version, node, zstd }
}
