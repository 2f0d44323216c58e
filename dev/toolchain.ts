// The pinned Node and npm that dev/node.sh installed, and that this very process runs on.
import { resolve } from 'node:path'

export const nodeProgram = process.execPath
export const npmDirectory = resolve(process.execPath, '../../../npm')
