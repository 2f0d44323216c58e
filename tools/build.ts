// Builds every Go program of cluster and tests that is not in the cache yet. Stages and `dev/` build what they need themselves.
import { buildGoTool, goTools } from '../dev/go-tools.ts'

for (const [index, { name }] of goTools.entries())
  await buildGoTool(name, line => console.log(`[${index + 1}/${goTools.length}] ${line}`))
console.log(`${goTools.length} programs are built`)
