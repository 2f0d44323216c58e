import { ApiError, ResponseError } from './errors.ts'
import type { StatusDetails } from './errors.ts'

/** `body` is the parsed JSON, or the text of any other content type. */
export type Answer = { readonly status: number; readonly body: unknown }

/** An HTTP answer as it came, decompressed. */
export type RawAnswer = {
  readonly status: number
  readonly bytes: Buffer
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** The body of a success; a refusal is thrown as ApiError. The API server never redirects, so that is one too. */
export function resultOf(request: string, answer: RawAnswer): Answer {
  const { status, bytes, headers } = answer
  if (status >= 300) throw apiError(request, answer)
  if (bytes.byteLength === 0) return { status, body: undefined }
  if (!String(headers['content-type'] ?? '').startsWith('application/json')) {
    return { status, body: bytes.toString('utf8') }
  }
  try {
    return { status, body: JSON.parse(bytes.toString('utf8')) as unknown }
  } catch (error) {
    throw new ResponseError(`${request}: the answer is not the JSON that it says to be`, { cause: error })
  }
}

/** What a refusal says, from its Status object or, behind a proxy, its first 500 characters. */
export function apiError(request: string, { status, bytes, headers }: RawAnswer): ApiError {
  const text = bytes.toString('utf8')
  const retryAfterSeconds = retryAfter(headers['retry-after'])
  const base = { request, status, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) }
  return statusError(base, parseStatus(text) ?? { message: text.slice(0, 500).trim() })
}

/** The `Status` object of meta/v1, as far as it matters here. */
export type Status = {
  readonly code?: number
  readonly reason?: string
  readonly message?: string
  readonly details?: StatusDetails
}

/** An ApiError from a Status that came as an answer or inside a watch. */
export function statusError(
  base: { readonly request: string; readonly status: number; readonly retryAfterSeconds?: number },
  { reason, message, details }: Status,
): ApiError {
  return new ApiError({
    ...base,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(details === undefined ? {} : { details }),
  })
}

function parseStatus(text: string): Status | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text) as Status
  } catch {
    return undefined
  }
}

/** Seconds; Kubernetes never sends the date form. */
function retryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}
