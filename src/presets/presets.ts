// All presets, by the names that a policy gives them.
import type { PresetName } from '../api/kinds/backup-policy-job.ts'
import { mariadb, mysql } from './mariadb.ts'
import { postgres } from './postgres.ts'
import type { Preset } from './preset.ts'

export const presets: Readonly<Record<PresetName, Preset>> = { postgres, mariadb, mysql }
