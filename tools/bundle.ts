// Makes the program of the image out of src/: `node tools/bundle.ts FOLDER [PROGRAM]`. One file a role, and what roles share beside them, so that a
// role loads nothing but its own: a third less memory than from the sources (docs/decisions/0014-the-image-holds-a-bundle.md).
// Development and tests run the sources as they are.
import { basename, join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')

/** Programs that threads run: files of their own, beside the one that starts them. */
export const threads = ['src/mover/backup/digest-worker.ts']

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
  const files = [...(await build(folder, 'main', program))]
  // Each by itself: what it shares with the program would be put beside that, which a thread would start once more.
  for (const thread of threads) files.push(...(await build(folder, basename(thread, '.ts'), thread)))
  return files
}

async function build(folder: string, name: string, program: string): Promise<readonly BundledFile[]> {
  const made = await rolldown({ input: { [name]: join(root, program) }, platform: 'node', cwd: root })
  const { output } = await made.write({
    dir: folder,
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: '[name].cjs',
    minify: false,
    // What main.ts needs itself would be put beside it, and a role that needs it too would start the program once more.
    codeSplitting: { groups: [{ name: 'log', test: /src\/runtime\/log\.ts$/ }] },
  })
  await made.close()
  return output.flatMap(file => {
    if (file.type !== 'chunk') throw new Error(`the bundle holds ${file.fileName}, which is no program`)
    const { fileName, isEntry, imports, dynamicImports, moduleIds: modules } = file
    return [{ name: fileName, isEntry, imports, dynamicImports, modules }]
  })
}

const [folder, program] = process.argv.slice(2)
if (import.meta.main) {
  if (folder === undefined) throw new Error('usage: node tools/bundle.ts FOLDER [PROGRAM]')
  for (const { name, modules } of await bundle(folder, program)) console.log(`${name}: ${modules.length} modules`)
}
