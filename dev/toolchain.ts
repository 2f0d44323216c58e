// The pinned Node and npm that dev/node.sh installed, and that this very process runs on.
import { join, resolve } from 'node:path'

export const nodeProgram = process.execPath
export const npmDirectory = resolve(process.execPath, '../../../npm')
export const npmProgram = join(npmDirectory, 'bin/npm-cli.js')
