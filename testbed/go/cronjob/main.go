// SPDX-License-Identifier: Apache-2.0

// Says when Kubernetes' own CronJob controller would start something. Each line that it reads is one
// question, its parts between "|", and gets one line:
//
//	next|<time zone>|<schedule>|<unix seconds>|<count>
//	  the next times after that one, or "error"
//	due|<time zone>|<schedule>|<created>|<last scheduled or ->|<starting deadline seconds or ->|<now>
//	  what is due now or "-", 0 to 2 for none, few or many missed, and when to look again; or "error"
//
// or "hangs", where the controller itself finds no answer within patience.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	_ "k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/util/parsers"
)

//go:linkname mostRecentScheduleTime k8s.io/kubernetes/pkg/controller/cronjob.mostRecentScheduleTime
func mostRecentScheduleTime(cj *batchv1.CronJob, now time.Time, schedule cron.Schedule, deadline bool) (time.Time, *time.Time, int, error)

//go:linkname nextScheduleTimeDuration k8s.io/kubernetes/pkg/controller/cronjob.nextScheduleTimeDuration
func nextScheduleTimeDuration(cj *batchv1.CronJob, now time.Time, schedule cron.Schedule) *time.Duration

const patience = 5 * time.Second

func main() {
	lines := bufio.NewScanner(os.Stdin)
	answers := bufio.NewWriter(os.Stdout)
	defer answers.Flush()
	for lines.Scan() {
		fmt.Fprintln(answers, inTime(lines.Text()))
	}
}

// A day that a zone leaves out (Apia, 2011-12-30) keeps the controller's clockwork busy for ever.
func inTime(question string) string {
	found := make(chan string, 1)
	go func() { found <- answer(strings.Split(question, "|")) }()
	select {
	case text := <-found:
		return text
	case <-time.After(patience):
		return "hangs"
	}
}

func answer(parts []string) string {
	schedule, err := parse(parts[1], parts[2])
	switch {
	case err != nil:
		return "error"
	case parts[0] == "next":
		return next(schedule, seconds(parts[3]), int(number(parts[4])))
	default:
		return due(schedule, parts[3:])
	}
}

// As the API server does, and then the controller.
func parse(zone, text string) (cron.Schedule, error) {
	if _, err := parsers.ParseCronScheduleWithPanicRecovery(text); err != nil || strings.Contains(text, "TZ") {
		return nil, fmt.Errorf("refused: %v", err)
	}
	return parsers.ParseCronScheduleWithPanicRecovery(fmt.Sprintf("TZ=%s %s", zone, text))
}

func next(schedule cron.Schedule, after time.Time, count int) string {
	found := []string{}
	for range count {
		after = schedule.Next(after)
		if after.IsZero() {
			break
		}
		found = append(found, strconv.FormatInt(after.Unix(), 10))
	}
	return strings.Join(found, " ")
}

func due(schedule cron.Schedule, given []string) string {
	cj := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(seconds(given[0]))}}
	if given[1] != "-" {
		last := metav1.NewTime(seconds(given[1]))
		cj.Status.LastScheduleTime = &last
	}
	if given[2] != "-" {
		deadline := number(given[2])
		cj.Spec.StartingDeadlineSeconds = &deadline
	}
	now := seconds(given[3])
	_, recent, missed, err := mostRecentScheduleTime(cj, now, schedule, true)
	if err != nil {
		return "error"
	}
	start := "-"
	if recent != nil && !recent.After(now) {
		start = strconv.FormatInt(recent.Unix(), 10)
	}
	again := now.Add(*nextScheduleTimeDuration(cj, now, schedule) - 100*time.Millisecond)
	return fmt.Sprintf("%s %d %d", start, missed, again.Unix())
}

func seconds(text string) time.Time {
	return time.Unix(number(text), 0).UTC()
}

func number(text string) int64 {
	parsed, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return parsed
}
