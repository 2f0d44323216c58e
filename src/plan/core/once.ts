/** What follows from one object alone, found out once: objects of a cache never change. It is kept for as long as they are, and so is to be small. */
export function once<T extends object, R>(of: (object: T) => R): (object: T) => R {
  const known = new WeakMap<T, { readonly is: R }>()
  return object => {
    const found = known.get(object) ?? { is: of(object) }
    known.set(object, found)
    return found.is
  }
}
