// usage, inside the node's sandbox: component-command.ts kill|start NAME SETTINGS_AS_JSON
import { eventually } from '../eventually.ts'
import { isAlive } from '../process-identity.ts'
import { componentProcess, startComponent } from './component-process.ts'
import { type BootSettings, components } from './components.ts'

const [, , what, name = '', settings = ''] = process.argv
if (what === 'start') {
  if (componentProcess(name)) throw new Error(`${name} runs already`)
  const commands: Readonly<Record<string, readonly string[]>> = components(JSON.parse(settings) as BootSettings)
  startComponent(name, commands[name])
} else {
  const running = componentProcess(name)
  if (!running) throw new Error(`${name} does not run`)
  process.kill(-running.pid, 'SIGKILL') // the whole session: some components have a process that starts them again
  await eventually(`${name} to end`, () => !isAlive(running), { seconds: 10, every: 20 })
}
