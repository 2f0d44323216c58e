/**
 * Takes secrets out of text that programs wrote, by pattern (R21), before it reaches a status, an event or a log. We do not know the
 * secrets, so this is the second line of defence: the first is that they are never on a command line. Where it is unclear where
 * a secret ends, too much goes rather than too little.
 */

const mark = '[redacted]'

/**
 * Names whose value is a secret, however the name begins: `PGPASSWORD`, `--db-password`, `aws_secret_access_key`, `client.secret`.
 * `InvalidAccessKeyId: …` is an error code of S3 with a sentence after it.
 */
const secretName =
  '(?:password|passwd|passphrase|passcode|pwd|(?<![a-z])pass|secret|token|' +
  '(?:access|api|secret|private|account|storage|encryption|signing|session|master|shared)(?<!invalid(?:access|secret))[ _.-]?key(?:[_.-]?id)?)'

/**
 * One value: quoted (also within a JSON string, so with escaped quotes), to the end of the line if the quote is left open, or up to a blank. Already
 * redacted is a value too, so that redacting twice changes nothing.
 */
const value = String.raw`(?:\[redacted\]|\\+"[^\n]*?\\+"|"(?:\\.|[^"\\\n])*(?:"|$)|'(?:\\.|''|[^'\\\n])*(?:'|$)|[^\s"']\S*)`

interface Rule {
  readonly pattern: RegExp
  readonly replacement: string
}

/** Repetitions that could begin anywhere are bounded, so that the work stays linear in the text, whoever wrote it. */
const rules: readonly Rule[] = [
  // PEM private keys, also where the text begins or ends within one.
  {
    pattern: /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY-----|[\s\S]*$)/g,
    replacement: mark,
  },
  { pattern: /(?:^[A-Za-z0-9+/=]+[ \t]*\r?\n){0,200}-----END [A-Z0-9 ]*PRIVATE KEY-----/gm, replacement: mark },
  // The rest of a header's line: schemes differ in what they look like.
  { pattern: /(authorization\\*["']?[ \t]*[:=])[ \t]*[^\r\n]+/gi, replacement: `$1 ${mark}` },
  { pattern: /\b(bearer)[ \t]+[\w.~+/=-]{8,}/gi, replacement: `$1 ${mark}` },
  // scheme://user:password@host; the password may hold an @ of its own. Digits and a slash are a port, not a password.
  { pattern: /(:\/\/[^\s:/@"']{0,256}:)(?!\d{1,5}(?:[/?#]|$))[^\s"']{1,512}@/gm, replacement: `$1${mark}@` },
  // user:password@tcp(host:3306), as MySQL drivers write it.
  { pattern: /(\b[\w.-]{1,64}:)[^\s"']{1,512}@((?:tcp|unix)\()/g, replacement: `$1${mark}@$2` },
  // S3 errors repeat the request's key id and signature.
  {
    pattern: /(<(\w*(?:password|secret|token|accesskeyid|signature|signatureprovided|stringtosign))>)[^<]*(?=<|$)/gi,
    replacement: `$1${mark}`,
  },
  // name=value, "name": "value", name: value, name := value, name => value, and percent-encoded.
  {
    pattern: new RegExp(String.raw`(${secretName}\\*["']?[ \t]*(?:=>|:=|%3D|[:=])[ \t]*)${value}`, 'gim'),
    replacement: `$1${mark}`,
  },
  { pattern: new RegExp(String.raw`((?:signature|credentials?|\bsig)=)${value}`, 'gim'), replacement: `$1${mark}` },
  // --password value; -p value, unless it looks like a port or a path; -pvalue and -a value of the programs that take them so.
  {
    pattern: new RegExp(String.raw`(--?[\w-]{0,64}${secretName}[ \t]+)(?!-)${value}`, 'gim'),
    replacement: `$1${mark}`,
  },
  {
    pattern: new RegExp(String.raw`((?:^|\s)-p(?:[ \t]+|=))(?!\d{1,5}\b|[-/.])${value}`, 'gm'),
    replacement: `$1${mark}`,
  },
  {
    pattern: new RegExp(String.raw`(\b(?:mysql|mariadb|mongo|sshpass)[^\n]{0,512}?\s-p)(?=\S)${value}`, 'gim'),
    replacement: `$1${mark}`,
  },
  { pattern: new RegExp(String.raw`(\bredis-cli\b[^\n]{0,512}?\s-a[ \t]+)${value}`, 'gim'), replacement: `$1${mark}` },
  // SQL: ALTER ROLE … PASSWORD '…', CREATE USER … IDENTIFIED WITH x BY '…'.
  {
    pattern:
      /(\b(?:password|identified(?:[ \t]+with[ \t]+\S+)?[ \t]+by)[ \t]+)(?:'(?:\\.|''|[^'\\])*(?:'|$)|"[^"\n]*(?:"|$))/gi,
    replacement: `$1${mark}`,
  },
  // What gives itself away by its form: AWS key ids, age keys, JSON web tokens.
  { pattern: /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, replacement: mark },
  { pattern: /\bAGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]+/gi, replacement: mark },
  { pattern: /\beyJ[\w-]{5,1024}\.[\w-]+\.[\w-]*/g, replacement: mark },
]

/** The text with everything that looks like a secret replaced by `[redacted]`. Cut it (`tail`) afterwards: a name cut off would leave its value. */
export function redact(text: string): string {
  return rules.reduce((clean, { pattern, replacement }) => clean.replace(pattern, replacement), text)
}

/** The end of a text, of at most `maxBytes` bytes in UTF-8, without half characters. */
export function tail(text: string, maxBytes: number): string {
  let bytes = 0
  let start = text.length
  while (start > 0) {
    const last = text.charCodeAt(start - 1)
    const isPair = start > 1 && last >= 0xdc00 && last <= 0xdfff && text.codePointAt(start - 2)! > 0xffff
    const size = isPair ? 4 : last < 0x80 ? 1 : last < 0x800 ? 2 : 3
    if (bytes + size > maxBytes) break
    bytes += size
    start -= isPair ? 2 : 1
  }
  return text.slice(start)
}
