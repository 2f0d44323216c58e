// Builds Go programs of cluster and tests that are not in the cache yet: all of them, or those named.
// The stages of the tests and `dev/` build what they need themselves.
import { buildGoTool, goTools } from '../dev/go-tools.ts'

const named = process.argv.slice(2)
const unknown = named.filter(name => !goTools.some(tool => tool.name === name))
if (unknown.length > 0)
  throw new Error(`no program named ${unknown.join(', ')}; there are ${goTools.map(tool => tool.name).join(', ')}`)
const chosen = goTools.filter(({ name }) => named.length === 0 || named.includes(name))
for (const [index, { name }] of chosen.entries())
  await buildGoTool(name, line => console.log(`[${index + 1}/${chosen.length}] ${line}`))
console.log(`built: ${chosen.map(({ name, version }) => `${name} ${version}`).join(', ')}`)
