// Builds the Go programs that are not in the cache yet: `node tools/build.ts [all|demo]`; demo leaves out what only tests need.
import { buildGoTool, goTools } from '../dev/go-tools.ts'

const [choice = 'all'] = process.argv.slice(2)
if (choice !== 'all' && choice !== 'demo') throw new Error(`usage: node tools/build.ts [all|demo], not ${choice}`)
const chosen = goTools.filter(tool => choice === 'all' || !('testOnly' in tool))
for (const [index, { name }] of chosen.entries())
  await buildGoTool(name, line => console.log(`[${index + 1}/${chosen.length}] ${line}`))
console.log(`${chosen.length} programs are built`)
