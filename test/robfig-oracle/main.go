// Writes src/schedule/schedule.golden.json: what robfig/cron, which the CronJob controller uses, accepts and when it runs.
// By hand, after a change of the cases:
//
//	cd test/robfig-oracle && go run . > ../../src/plan/schedule.golden.json
//
// The time zone database is the one compiled in, so that the result depends on the version of Go alone.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

// Berlin and New York: whole hours at night. Lord Howe: half an hour. Santiago, Beirut, Cairo, Havana, Azores: midnight. Sao Paulo: changed
// at midnight until 2019. London, Dublin and UTC: offset 0. The rest: fractional or far offsets.
var zones = []string{
	"Etc/UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Santiago",
	"Asia/Beirut", "Africa/Cairo", "America/Havana", "Atlantic/Azores", "Europe/Dublin", "America/St_Johns", "Asia/Kathmandu",
	"Pacific/Chatham", "Pacific/Apia",
}

var schedules = []string{
	"0 2 * * *", "30 2 * * *", "15 2 * * *", "45 2 * * *", "30 1 * * *", "0 3 * * *", "0 5 * * *", "0 0 * * *", "30 0 * * *", "15 0 * * *",
	"59 23 * * *", "30 23 * * *", "* * * * *", "*/30 * * * *", "*/15 * * * *", "0 * * * *", "15 * * * *", "45 * * * *", "*/90 * * * *", "5/15 * * * *", "7-59/20 * * * *",
	"*/10 2 * * *", "0 */2 * * *", "0 */6 * * *", "0 1-5 * * *", "20,40 0-3 * * *", "0 0 */1 * 1", "0 0 */2 * 1", "0 0 * * */1",
	"0 0 1 * */1", "0 0 1 * */2", "0 0 1,15 * 1", "0 0 ? * MON-FRI", "0 0 1 * ?", "0 0 * * 0", "0 2 * * sun", "30 2 * * SUN", "0 0 * * 1", "0 12 31 * *",
	"0 0 29 2 *", "0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 1 1 *", "0 0 1 jan,JUL *", "30 2 * 3,10 0", "0 0 1 4,10 *", "0 0 * 9 0",
	"0 0 13 * 5", "0 0 */10 * *", "59 23 31 12 *", "00 02 * * *", "  0 2 * * *  ", "0\t2 * * *", "0 4 8-14 * ?/1", "* 2 * * *", "29/8 3 * * *", "*/5 3 * * *", "*/7 1-3/2 * * *",
	"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually",
}

var grammar = []string{
	"", " ", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 7", "* * * * 8",
	"*/0 * * * *", "*/00 * * * *", "*/1 * * * *", "*/9999 * * * *", "5-1 * * * *", "1-5-9 * * * *", "1/2/3 * * * *", "-1 * * * *", "1- * * * *", "/5 * * * *", "* * L * *",
	"* * 15W * *", "* * * * 5L", "* * * * 1#2", "* * * * mon#2", "a * * * *", "1.5 * * * *", "* * * FEB *", "* * * feb-apr *", "* * * 2-apr *", "* * * * Mon", "* * * * mon-5",
	"* * * * sat-sun", "* * * * fri-mon", "* * jan * *", "mon * * * *", "* * * january *", "* * * * sunday", "@reboot", "@Hourly", " @hourly", "@hourly ", "@", "@every",
	"? ? ? ? ?", "?/5 * * * *", "*/5,7 * * * *", "1,2,3 * * * *", "1-3/2,10-20/5 * * * *", "005 * * * *", "0 002 * * *", "59/90 * * * *", "0-59/90 * * * *", "30/ * * * *",
	"* * 31 2 *", "0 2 * * * root", "0 2 * *\n*", "0 2 * * *\n", "~ * * * *", "0~30 * * * *", "* * * * *,", "% * * * *", "0x5 * * * *", "1e1 * * * *", "１ * * * *",
	"* * * 12/1 *", "* * * * 6/1", "* * 31/1 * *", "* 23/1 * * *", "59/1 * * * *", "* * * */13 *",
	// robfig takes these; here they are refused on purpose (see cron-grammar.ts and the test).
	"@every 1h", "+5 * * * *", "*/+5 * * * *", "1,,2 * * * *", ", * * * *", "*-5 * * * *", "?-x * * * *", "TZ=Europe/Berlin 0 2 * * *", "CRON_TZ=UTC 0 2 * * *", "*/10000 * * * *",
	// Ours; to robfig they are errors.
	"H * * * *", "H H * * *", "H/15 * * * *", "H(0-29) * * * *", "H(0-29)/10 2 * * *", "0 2 H * *", "0 2 1 H *", "0 2 * * H", "0 2 * * H(mon-fri)", "H,30 2 * * *",
	"H(30-10) 2 * * *", "H(0-60) 2 * * *", "H() 2 * * *", "HH 2 * * *", "h 2 * * *", "H-5 2 * * *", "H/0 2 * * *", "5-H 2 * * *",
}

type oracle struct {
	Grammar []verdict `json:"grammar"`
	Chains  []chains  `json:"chains"`
}

type verdict struct {
	Schedule string `json:"schedule"`
	Accepted bool   `json:"accepted"`
}

// chains: each begins with a moment (seconds since 1970) and goes on with the slots after it (minutes since 1970), as the
// controller would find them; a 0 says that there is no next one.
type chains struct {
	Schedule string    `json:"schedule"`
	Zone     string    `json:"zone"`
	Chains   [][]int64 `json:"chains"`
}

func main() {
	random := rand.New(rand.NewSource(20260101))
	result := oracle{}
	for _, text := range grammar {
		_, err := cron.ParseStandard(text)
		result.Grammar = append(result.Grammar, verdict{text, err == nil})
	}
	for range 300 {
		text := randomSchedule(random)
		_, err := cron.ParseStandard(text)
		result.Grammar = append(result.Grammar, verdict{text, err == nil})
	}
	for _, zone := range zones {
		location, err := time.LoadLocation(zone)
		check(err)
		moments := momentsOf(location)
		cases := append([]string{}, schedules...)
		for len(cases) < len(schedules)+12 {
			if text := randomSchedule(random); parses(text) {
				cases = append(cases, text)
			}
		}
		for _, text := range cases {
			schedule, err := cron.ParseStandard(fmt.Sprintf("TZ=%s %s", zone, text))
			check(err)
			group := chains{text, zone, nil}
			for range 4 {
				group.Chains = append(group.Chains, chain(schedule, moments[random.Intn(len(moments))]))
			}
			result.Chains = append(result.Chains, group)
		}
	}
	write(result)
}

func chain(schedule cron.Schedule, start time.Time) []int64 {
	found := []int64{start.Unix()}
	for t, n := start.UTC(), 0; n < 5; n++ {
		t = schedule.Next(t)
		if t.IsZero() {
			return append(found, 0)
		}
		found = append(found, t.Unix()/60)
	}
	return found
}

// momentsOf gives moments on and around the zone's changes of offset, and some ordinary ones. The years are past, so that all time
// zone databases agree (they do not on Casablanca, whose coming changes were predicted and then abolished).
func momentsOf(location *time.Location) []time.Time {
	var moments []time.Time
	from, until := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	offsets := []time.Duration{
		-8 * 24 * time.Hour, -49 * time.Hour, -26 * time.Hour, -24 * time.Hour, -3 * time.Hour, -90 * time.Minute, -time.Hour, -30 * time.Minute, -time.Second, 0,
		time.Second, 15*time.Minute + 30*time.Second, 30 * time.Minute, time.Hour, 90*time.Minute + 15*time.Second, 3 * time.Hour, 24 * time.Hour,
	}
	for t := from.In(location); ; {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(until) {
			break
		}
		for _, offset := range offsets {
			moments = append(moments, end.Add(offset))
		}
		t = end
	}
	for day := range 37 {
		moments = append(moments, from.Add(time.Duration(day)*91*24*time.Hour+time.Duration(day)*5077*time.Second))
	}
	return moments
}

func randomSchedule(random *rand.Rand) string {
	bounds := [][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}
	names := [][]string{{}, {}, {}, {"jan", "Feb", "MAR", "dec"}, {"sun", "Mon", "SAT"}}
	var fields []string
	for index, bound := range bounds {
		value := func() string {
			if named := names[index]; len(named) > 0 && random.Intn(5) == 0 {
				return named[random.Intn(len(named))]
			}
			// Now and then just outside.
			outside := random.Intn(30) / 29
			return fmt.Sprint(bound[0] - outside + random.Intn(bound[1]-bound[0]+1+2*outside))
		}
		var items []string
		for range 1 + random.Intn(3)/2 {
			var item string
			switch random.Intn(6) {
			case 0, 1, 2:
				item = []string{"*", "*", "?"}[random.Intn(3)]
			case 3:
				item = value() + "-" + value()
			default:
				item = value()
			}
			if random.Intn(4) == 0 {
				item += fmt.Sprintf("/%d", 1+random.Intn(bound[1]+5))
			}
			items = append(items, item)
		}
		fields = append(fields, strings.Join(items, ","))
	}
	return strings.Join(fields, " ")
}

func parses(text string) bool {
	_, err := cron.ParseStandard(text)
	return err == nil
}

// write puts every case on a line of its own, so that a change shows as what it is.
func write(result oracle) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	line := func(value any, last bool) {
		text, err := json.Marshal(value)
		check(err)
		comma := ","
		if last {
			comma = ""
		}
		fmt.Fprintf(out, "    %s%s\n", text, comma)
	}
	fmt.Fprintln(out, "{\n  \"grammar\": [")
	for index, value := range result.Grammar {
		line(value, index == len(result.Grammar)-1)
	}
	fmt.Fprintln(out, "  ],\n  \"chains\": [")
	for index, value := range result.Chains {
		line(value, index == len(result.Chains)-1)
	}
	fmt.Fprintln(out, "  ]\n}")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
