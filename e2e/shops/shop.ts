// A database with everything in it that a backup could miss, in a pod of a story, whatever its engine.
import type { Manifest } from '../objects.ts'

export interface Shop {
  readonly preset: 'postgres' | 'mariadb'
  /** Of the target: its StatefulSet. */
  readonly name: string
  /** StatefulSet, Service and the Secret with the administrator's password; the database `shop` is there, and empty. */
  readonly manifests: readonly Manifest[]
  /** Waits until it takes connections. */
  ready(): Promise<void>
  /** Accounts with their rights, and in `shop` rows, routines, triggers and what else the engine has. */
  fill(): Promise<void>
  /** All that must be the same again, but for what is written meanwhile. */
  readonly contents: (database: string) => Promise<string>
  /** Runs the work while transactions are written, each of them a row and the count of all; the work begins when there are some. */
  whileWriting<T>(work: () => Promise<T>): Promise<T>
  /** What is there of these transactions: rows, the greatest of their numbers, the count. Alike at each instant. */
  written(database: string): Promise<readonly [rows: number, greatest: number, counted: number]>
  /** Removes `shop` and the accounts. */
  drop(): Promise<void>
}
