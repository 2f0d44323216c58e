// A seeded stream that does not compress, of any length, as a command line: a cipher's key stream.

/** For `sh -c`; needs openssl. `bytes` and `seed` (0–255) decide every byte. */
export function incompressible(bytes: number, seed: number): readonly string[] {
  const key = seed.toString(16).padStart(2, '0').repeat(16)
  return [
    'sh',
    '-c',
    `openssl enc -aes-128-ctr -K ${key} -iv ${'0'.repeat(32)} -in /dev/zero 2>/dev/null | head -c ${bytes}`,
  ]
}
