import { MemoryStore } from './memory.ts'
import { describeObjectStore } from './object-store.contract.ts'

describeObjectStore('memory', async () => new MemoryStore())
