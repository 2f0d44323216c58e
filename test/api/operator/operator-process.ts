// The operator as a process of its own that a test can kill: as src/main.ts runs it, but against any API server, and reachable on
// the loopback interface only. The argument is the path of a JSON file, because the token must not be an argument.
import { readFileSync } from 'node:fs'
import { runOperator, type OperatorOptions } from '../../../src/controllers/operator.ts'
import { createLog } from '../../../src/runtime/log.ts'
import { listenForShutdown } from '../../../src/runtime/shutdown.ts'

export type OperatorProcessOptions = Omit<OperatorOptions, 'log' | 'host'>

const [file = ''] = process.argv.slice(2)
const options = JSON.parse(readFileSync(file, 'utf8')) as OperatorProcessOptions
const log = createLog({ level: 'info' })
const shutdown = listenForShutdown({ log })
void runOperator({ ...options, host: '127.0.0.1', log }, shutdown.signal).then(outcome =>
  shutdown.exit(outcome === 'lost' ? 1 : 0, outcome),
)
