// Package compat is what the programs have in common: where to connect, how a check is run and its line printed, the checks
// that need no more of a client than statements and rows.
package compat

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

var names = []string{
	"connect", "connect_sha2", "connect_tls", "connect_socket", "types_text", "types_prepared", "unicode", "prepared",
	"transactions", "batch", "keys", "stream", "large", "errors", "reset", "pool", "kill", "multi", "infile", "compress",
	"orm_schema", "orm_use",
}

const checkLimit = 60 * time.Second

// Where to connect, and what is there.
var (
	Host         = os.Getenv("COMPAT_HOST")
	Port         = os.Getenv("COMPAT_PORT")
	Sha2User     = os.Getenv("COMPAT_SHA2_USER")
	Sha2Password = os.Getenv("COMPAT_SHA2_PASSWORD")
	CA           = os.Getenv("COMPAT_CA")
	Socket       = os.Getenv("COMPAT_SOCKET")
	Sharded      = os.Getenv("COMPAT_SHARDED") == "1"
)

// Named is the name of one of this program's tables or procedures.
func Named(name string) string { return os.Getenv("COMPAT_PREFIX") + "_" + name }

// Usual are the options of an ordinary connection, changed by `change`.
func Usual(change ...func(*mysql.Config)) *mysql.Config {
	config := mysql.NewConfig()
	config.User = os.Getenv("COMPAT_USER")
	config.Passwd = os.Getenv("COMPAT_PASSWORD")
	config.Net = "tcp"
	config.Addr = Host + ":" + Port
	config.DBName = os.Getenv("COMPAT_DATABASE")
	config.Logger = &mysql.NopLogger{}
	for _, each := range change {
		each(config)
	}
	return config
}

// Encrypted is the option for TLS with the certificate verified.
func Encrypted(config *mysql.Config) {
	pem, err := os.ReadFile(CA)
	Must(err)
	roots := x509.NewCertPool()
	Holds(roots.AppendCertsFromPEM(pem), "no certificate in %s", CA)
	config.TLS = &tls.Config{RootCAs: roots, ServerName: Host}
}

// What ends a check, or a step of one, before its end.
type failure struct{ detail string }
type skipped struct{ reason string }

// Skip ends the check as one that cannot be done.
func Skip(reason string) { panic(skipped{reason}) }

// Fail ends the check, or the step.
func Fail(format string, values ...any) { panic(failure{fmt.Sprintf(format, values...)}) }

// Holds fails if `condition` does not.
func Holds(condition bool, format string, values ...any) {
	if !condition {
		Fail(format, values...)
	}
}

// Must fails on an error.
func Must(err error) {
	if err != nil {
		Fail("%v", err)
	}
}

// Value is a value that came without an error.
func Value[T any](value T, err error) T {
	Must(err)
	return value
}

// Equal fails if the values differ.
func Equal(got, want any, what string) {
	if !reflect.DeepEqual(got, want) {
		Fail("%s: expected %s, got %s", what, brief(want), brief(got))
	}
}

// Refused fails unless `err` is the server's error of that number; gives it.
func Refused(err error, number uint16) *mysql.MySQLError {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		Fail("%d expected as MySQLError, got %v", number, err)
	}
	Holds(refused.Number == number, "%d expected, got %v", number, refused)
	return refused
}

// Eventually tries until `action` is true, or fails after ten seconds.
func Eventually(what string, action func() bool) {
	for end := time.Now().Add(10 * time.Second); !action(); time.Sleep(25 * time.Millisecond) {
		Holds(time.Now().Before(end), "%s: not so after 10 s", what)
	}
}

// T is one run of a check.
type T struct {
	driver Driver
	failed []string
	mutex  sync.Mutex
	open   []Client
}

// Step runs a part of a check that the other parts do not need; if it fails they are run all the same.
func (t *T) Step(what string, action func()) {
	verdict, detail := caught(action)
	if verdict == "fail" {
		t.failed = append(t.failed, what+": "+detail)
	}
}

// Open opens a client with the usual options, changed by `change`, that ends with the check at the latest.
func (t *T) Open(change ...func(*mysql.Config)) Client {
	return Value(t.Try(change...))
}

// Try is Open where an error is expected.
func (t *T) Try(change ...func(*mysql.Config)) (Client, error) {
	client, err := t.driver(Usual(change...))
	if err == nil {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		t.open = append(t.open, client)
	}
	return client, err
}

func (t *T) close() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, client := range t.open {
		_ = client.DB().Close()
	}
}

// Check is one check.
type Check func(*T)

// Without is the check that cannot be done, for that reason.
func Without(reason string) Check { return func(*T) { Skip(reason) } }

// Run runs a program: `own` are its checks in place of the common ones.
func Run(driver Driver, own map[string]Check) {
	checks := common()
	for name, check := range own {
		checks[name] = check
	}
	Holds(len(checks) == len(names), "%d checks for %d names", len(checks), len(names))
	wanted := os.Args[1:]
	for _, name := range names {
		if len(wanted) > 0 && !strings.Contains(" "+strings.Join(wanted, " ")+" ", " "+name+" ") {
			continue
		}
		verdict, detail := outcome(driver, checks[name])
		detail = strings.Join(strings.Fields(detail), " ")
		if len(detail) > 1500 {
			detail = detail[:1500]
		}
		fmt.Printf("%s\t%s\t%s\n", name, verdict, strings.ToValidUTF8(detail, "?"))
	}
}

func outcome(driver Driver, check Check) (verdict, detail string) {
	t := &T{driver: driver}
	done := make(chan struct{})
	go func() {
		defer close(done)
		verdict, detail = caught(func() { check(t) })
	}()
	select {
	case <-done:
	case <-time.After(checkLimit):
		return "fail", fmt.Sprintf("not done after %v", checkLimit)
	}
	t.close()
	if verdict != "skip" && len(t.failed) > 0 {
		if verdict == "fail" {
			t.failed = append(t.failed, detail)
		}
		return "fail", strings.Join(t.failed, " | ")
	}
	return verdict, detail
}

func caught(action func()) (verdict, detail string) {
	defer func() {
		switch end := recover().(type) {
		case nil:
			verdict = "ok"
		case skipped:
			verdict, detail = "skip", end.reason
		case failure:
			verdict, detail = "fail", end.detail
		default:
			verdict, detail = "fail", fmt.Sprintf("panic: %v", end)
		}
	}()
	action()
	return
}

func brief(value any) string {
	text := fmt.Sprintf("%#v", value)
	if len(text) > 600 {
		text = text[:600] + "…"
	}
	return text
}
