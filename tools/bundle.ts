// Makes the program of the image out of src/: `node tools/bundle.ts FOLDER [PROGRAM]`. One file a role, and what roles share beside them, so that a
// role loads nothing but its own: a third less memory than from the sources (docs/decisions/0014-the-image-holds-a-bundle.md).
// Development and tests run the sources as they are.
import { join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')

export type BundledFile = {
  readonly name: string
  /** Whether nothing else in the bundle has to load it first. */
  readonly isEntry: boolean
  /** Files that it loads at once, and those that it loads when asked. */
  readonly imports: readonly string[]
  readonly dynamicImports: readonly string[]
  /** Absolute paths of the modules of which something is in it. */
  readonly modules: readonly string[]
}

/**
 * CommonJS, because an `import` of one of Node's own modules reads all that it exports, and with `node:http` that is a second HTTP client.
 * Not minified: a stack trace names functions, and the lines around them say which source they are from.
 */
export async function bundle(folder: string, program = 'src/main.ts'): Promise<readonly BundledFile[]> {
  const build = await rolldown({ input: { main: join(root, program) }, platform: 'node', cwd: root })
  const { output } = await build.write({
    dir: folder,
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: '[name].cjs',
    minify: false,
    // What main.ts needs itself would be put beside it, and a role that needs it too would start the program once more.
    codeSplitting: { groups: [{ name: 'log', test: /src\/runtime\/log\.ts$/ }] },
  })
  await build.close()
  return output.flatMap(file => {
    if (file.type !== 'chunk') throw new Error(`the bundle holds ${file.fileName}, which is no program`)
    const { fileName: name, isEntry, imports, dynamicImports, moduleIds: modules } = file
    return [{ name, isEntry, imports, dynamicImports, modules }]
  })
}

const [folder, program] = process.argv.slice(2)
if (import.meta.main) {
  if (folder === undefined) throw new Error('usage: node tools/bundle.ts FOLDER [PROGRAM]')
  for (const { name, modules } of await bundle(folder, program)) console.log(`${name}: ${modules.length} modules`)
}
