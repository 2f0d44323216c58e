import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { firstWindow, windowAfter, type UploadWindow } from './upload-window.ts'

/** How many parts are at once after so many of them, each of which takes as long as `msOf` says of the window. */
function after(parts: number, msOf: (window: number) => number, most: number): number {
  let window: UploadWindow = firstWindow
  for (let part = 0; part < parts; part++) window = windowAfter(window, msOf(window.parts), most)
  return window.parts
}

describe('parts at once', () => {
  test('become as many as memory allows where the store is only far away', () => {
    assert.equal(
      after(20, () => 150, 8),
      8,
    )
    assert.equal(
      after(20, window => 150 + 2 * window, 8),
      8,
    )
  })

  test('stay few where one part after the other would be as fast', () => {
    const window = after(200, parts => 20 * parts, 20)
    assert.ok(window <= 8, `${window}`)
  })

  test('become fewer again when the store is full', () => {
    let window: UploadWindow = firstWindow
    for (let part = 0; part < 20; part++) window = windowAfter(window, 150, 16)
    assert.equal(window.parts, 16)
    for (let part = 0; part < 20; part++) window = windowAfter(window, 600, 16)
    assert.ok(window.parts < 8, `${window.parts}`)
  })

  test('are never more than memory allows', () => {
    for (const most of [5, 9])
      assert.equal(
        after(50, () => 100, most),
        most,
      )
  })
})
