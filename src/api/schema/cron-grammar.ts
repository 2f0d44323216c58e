/**
 * The grammar of `spec.schedule`, as a regular expression that Go's RE2 (CEL's `matches`) and JavaScript read alike.
 *
 * It is the CronJob grammar (https://pkg.go.dev/github.com/robfig/cron/v3, standard parser) plus `H` for "some value, the same
 * for ever for this policy": `H`, `H/15`, `H(0-29)`, `H(0-29)/10`. Deliberately refused although robfig takes it: `@every`
 * (not a time of day, and it shifts with every restart), `+5`, empty list items, `*-5`. A range's order (`30-10`) is beyond a
 * regular expression of this kind, and has rules of its own.
 *
 * The pattern contains no quotes, so that it fits a CEL string: `self.matches('…')` with its backslashes doubled.
 */

/** `maxLength` of the schedule; what keeps the CEL cost estimate of the rules small. */
export const cronMaxLength = 100

const monthNames = 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec'
const weekdayNames = 'sun|mon|tue|wed|thu|fri|sat'

/** A step is any positive number: a step beyond the field's end, as in the minutes of "every 90", selects the first value only. */
const step = '0*[1-9][0-9]{0,3}'

function field(value: string): string {
  const item = `(?:[*?]|H(?:[(]${value}-${value}[)])?|${value}(?:-${value})?)(?:/${step})?`
  return `${item}(?:,${item})*`
}

const fields = [
  field('0*[0-5]?[0-9]'),
  field('0*(?:1?[0-9]|2[0-3])'),
  field('0*(?:[1-9]|[12][0-9]|3[01])'),
  field(`(?:0*(?:[1-9]|1[0-2])|(?i:${monthNames}))`),
  field(`(?:0*[0-6]|(?i:${weekdayNames}))`),
]

/** Names that robfig expands; it knows them in lower case and without blanks around them only. */
const nickname = '@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)'

/** Matches a whole schedule. */
export const cronPattern = `^(?:${nickname}|[ \\t\\r\\n]*${fields.join('[ \\t\\r\\n]+')}[ \\t\\r\\n]*)$`

/** What to write instead of a schedule that does not match. */
export const cronMessage =
  "write five fields, minute hour day-of-month month day-of-week, for example '0 2 * * *' (every day at 02:00), 'H 2 * * *' " +
  "(every day at a minute after 02:00 that is chosen for this policy) or '*/30 * * * 1-5' (every 30 minutes on working days), " +
  'or one of @hourly, @daily, @weekly, @monthly, @yearly; Sunday is 0, not 7; @every, L, W and # are not known, and a time zone ' +
  'goes into timeZone'

/** CEL: no range of numbers runs backward. Numbers have few digits here, because more would not be an int. */
export const numberRangeRule =
  "self.findAll('[0-9]{1,4}-[0-9]{1,4}').all(r, int(r.split('-')[0]) <= int(r.split('-')[1]))"

/**
 * CEL: no range of names, or of a name and a number, runs backward. All that do are listed: a rule that looked names up would cost too
 * much.
 */
export const nameRangeRule = `!self.matches('${backwardPattern()}')`

function backwardPattern(): string {
  return `(?i:${[...backward(monthNames, 1), ...backward(weekdayNames, 0)].join('|')})`
}

/** `tue-(?:sun|mon|0*[01])`, `(?:[3-6])-tue` and so on; `first` is the number of the first name. */
function backward(names: string, first: number): readonly string[] {
  const ordered = names.split('|')
  const last = first + ordered.length - 1
  return ordered.flatMap((name, index) => {
    const value = first + index
    const smaller = numbersBetween(first, value - 1)
    const larger = numbersBetween(value + 1, last)
    return [
      ...(smaller.length > 0
        ? [`${name}-(?:${[...ordered.slice(0, index), `0*(?:${smaller.join('|')})(?:[^0-9]|$)`].join('|')})`]
        : []),
      ...(larger.length > 0 ? [`(?:${larger.join('|')})-${name}`] : []),
    ]
  })
}

function numbersBetween(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index)
}

/** What to write instead of a range that runs backward. */
export const rangeMessage =
  'a range runs from the smaller value to the larger one; write one that goes over the end as two, for example 22-23,0-4 for the ' +
  'hours 22-4, or fri-sat,sun-mon for the days fri-mon'

/** A list of nothing but the item. */
function listOf(item: string): string {
  return `${item}(?:,${item})*`
}

/** A list with one item that is a star: then the day of the week allows every day, and the day of the month decides alone. */
const starredList = `(?:[^ \\t\\r\\n]*,)?[*?](?:/0*1)?(?:,[^ \\t\\r\\n]*)?`

/** The days that a month lacks, and the months, by number or name, that lack them. Ranges of months go beyond what is listed here. */
const missingDays = [
  [`0*3[01](?:-0*3[01])?(?:/${step})?`, '(?:0*2|(?i:feb))'],
  [`0*31(?:-0*31)?(?:/${step})?`, '(?:0*(?:2|4|6|9|11)|(?i:feb|apr|jun|sep|nov))'],
] as const

const blanks = '[ \\t\\r\\n]+'

/** Matches a schedule whose days no month has: 31 February, 31 in April and June, and so on. */
export const noSuchDayPattern = `^[ \\t\\r\\n]*(?:[^ \\t\\r\\n]+${blanks}){2}(?:${missingDays
  .map(([days, months]) => `${listOf(days)}${blanks}${listOf(months)}`)
  .join('|')})${blanks}${starredList}[ \\t\\r\\n]*$`

/** What to write instead of such a schedule. */
export const noSuchDayMessage =
  'none of these months has such a day, so that the schedule would never fire; write a day that they have, for example 28 for the end of ' +
  "every month: '0 2 28 * *'"
