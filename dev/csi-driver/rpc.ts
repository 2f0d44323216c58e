// Serves plain functions as gRPC methods: status codes, one log line per call, failure injection.
import { type sendUnaryData, type Server, ServerCredentials, type ServerUnaryCall, status } from '@grpc/grpc-js'
import { loadPackageDefinition, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Handlers, Method, Parameters } from './messages.ts'

export type Code = keyof typeof status

/** A request after decoding, when it does not matter which one it is. */
export type AnyRequest = Readonly<Record<string, unknown>>

/** The end of a call with a gRPC status. */
class RpcError extends Error {
  readonly code: Code
  constructor(code: Code, message: string) {
    super(message)
    this.name = 'RpcError'
    this.code = code
  }
}

/** Ends the current call with this gRPC status. */
export function fail(code: Code, message: string): never {
  throw new RpcError(code, message)
}

const tails = new Map<string, Promise<unknown>>()

/** Runs one piece of work per key at a time, in the order of arrival. */
export function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const result = (tails.get(key) ?? Promise.resolve()).then(work, work)
  const forget = () => {
    if (tails.get(key) === result) tails.delete(key)
  }
  tails.set(key, result)
  result.then(forget, forget)
  return result
}

/** Waits for all work that is under way. */
export async function allDone(): Promise<void> {
  await Promise.allSettled(tails.values())
}

const failures = new Map<string, number>()

/** Class parameters can break any method: `delay<Method>: "<seconds>"` and `fail<Method>: "<CODE>[ <times>]"`. */
export async function inject(method: string, request: AnyRequest, parameters: Parameters): Promise<void> {
  await pause(Number(parameters[`delay${method}`] ?? 0) * 1000)
  const [code, times = 'Infinity'] = parameters[`fail${method}`]?.split(' ') ?? []
  const subject = [method, request.name, request.volume_id, request.snapshot_id].join(' ')
  const seen = failures.get(subject) ?? 0
  if (!code || seen >= Number(times)) return
  if (!(code in status)) fail('INVALID_ARGUMENT', `fail${method}: ${code} is not a gRPC status`)
  failures.set(subject, seen + 1)
  fail(code as Code, `injected failure ${seen + 1} of ${times}`)
}

type Scope = { readonly [name: string]: Scope | { readonly service: ServiceDefinition } }

export function loadService(protoFile: string, packageName: string, service: string): ServiceDefinition {
  const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }
  let scope = loadPackageDefinition(loadSync(protoFile, options)) as unknown as Scope
  for (const part of packageName.split('.')) scope = scope[part] as Scope
  const { service: definition } = scope[service] as { readonly service?: ServiceDefinition }
  if (!definition) throw new Error(`${protoFile} has no service ${packageName}.${service}`)
  return definition
}

/** Adds a service. Every request goes through `admit` before its handler. */
export function serve<Name extends Method>(
  server: Server,
  service: ServiceDefinition,
  handlers: Handlers<Name>,
  admit: (method: Method, request: AnyRequest) => Promise<void>,
): void {
  const entries = Object.entries(handlers) as [Method, (request: AnyRequest) => object | Promise<object | void>][]
  const methods: UntypedServiceImplementation = {}
  for (const [method, handler] of entries)
    methods[method] = (call: ServerUnaryCall<AnyRequest, object>, reply: sendUnaryData<object>) => {
      void answer(method, call.request, reply, async request => {
        await admit(method, request)
        return (await handler(request)) ?? {}
      })
    }
  server.addService(service, methods)
}

async function answer(
  method: Method,
  received: AnyRequest,
  reply: sendUnaryData<object>,
  work: (request: AnyRequest) => Promise<object>,
) {
  const started = performance.now()
  const request = { ...received, secrets: undefined } // never logged
  const log = (code: Code, message?: string) => {
    const ms = Math.round(performance.now() - started)
    console.log(JSON.stringify({ time: new Date(), method, code, ms, message, request }))
  }
  try {
    const response = await work(request)
    log('OK')
    reply(null, response)
  } catch (error) {
    // Errors of child processes carry an exit status in `code`, which gRPC would send as its own status.
    const code = error instanceof RpcError ? error.code : 'INTERNAL'
    const details = error instanceof Error ? error.message : String(error)
    log(code, details)
    reply({ code: status[code], details })
  }
}

export async function listen(server: Server, socket: string): Promise<void> {
  mkdirSync(dirname(socket), { recursive: true })
  rmSync(socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), error =>
      error ? reject(error) : resolve(),
    )
  })
}
