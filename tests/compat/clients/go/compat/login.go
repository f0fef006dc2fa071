package compat

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

func common() map[string]Check {
	return map[string]Check{
		"connect":        connect,
		"connect_sha2":   connectSha2,
		"connect_tls":    connectTLS,
		"connect_socket": connectSocket,
		"types_text":     func(t *T) { everyType(t.Open(Interpolated)) },
		"types_prepared": func(t *T) { everyType(t.Open()) },
		"unicode":        unicode,
		"prepared":       prepared,
		"transactions":   transactions,
		"batch":          batch,
		"keys":           keys,
		"stream":         stream,
		"large":          large,
		"errors":         refusals,
		"reset":          Without("database/sql hands connections on as they are"),
		"pool":           pool,
		"kill":           kill,
		"multi":          multi,
		"infile":         infile,
		"compress":       compress,
		"orm_schema":     Without("not an ORM"),
		"orm_use":        Without("not an ORM"),
	}
}

// Interpolated is the option to put values into the statement's text in place of preparing it.
func Interpolated(config *mysql.Config) { config.InterpolateParams = true }

func connect(t *T) {
	client := t.Open()
	Alive(client)
	Must(client.DB().Ping())
	Must(client.DB().Close())
}

func connectSha2(t *T) {
	if Sha2User == "" {
		Skip("no such user here")
	}
	as := func(config *mysql.Config) { config.User, config.Passwd = Sha2User, Sha2Password }
	login := func(change ...func(*mysql.Config)) {
		user := Column(t.Open(append(change, as)...), "SELECT CURRENT_USER()")
		Equal(strings.Split(user, "@")[0], Sha2User, "user")
	}
	// First in clear: after one full exchange of the password the server remembers it and asks for no key.
	t.Step("in clear", func() { login() })
	if CA != "" {
		t.Step("over TLS", func() { login(Encrypted) })
	}
	t.Step("wrong password", func() {
		_, err := t.Try(as, func(config *mysql.Config) { config.Passwd = "wrong" })
		Refused(err, 1045)
	})
}

// A connection that counts and remembers what goes over it.
type wire struct {
	net.Conn
	mutex    sync.Mutex
	sent     bytes.Buffer
	received atomic.Int64
}

func (w *wire) Write(data []byte) (int, error) {
	w.mutex.Lock()
	w.sent.Write(data)
	w.mutex.Unlock()
	return w.Conn.Write(data)
}

func (w *wire) Read(data []byte) (int, error) {
	n, err := w.Conn.Read(data)
	w.received.Add(int64(n))
	return n, err
}

func (w *wire) sentBytes() []byte {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return bytes.Clone(w.sent.Bytes())
}

// Dials over a wire that is listened to.
func tapped() (*wire, func(*mysql.Config)) {
	tap := &wire{}
	return tap, func(config *mysql.Config) {
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
			tap.Conn = connection
			return tap, err
		}
	}
}

func connectTLS(t *T) {
	if CA == "" {
		Skip("the server has no TLS")
	}
	tap, option := tapped()
	secret := strings.Repeat("encrypted or not ", 2000)
	Equal(Column(t.Open(Encrypted, option, Interpolated), "SELECT ?", secret), secret, "value")
	sent := tap.sentBytes()
	Holds(len(sent) > len(secret) && !bytes.Contains(sent, []byte(secret[:100])), "the statement went over the wire in clear")
	_, err := t.Try(Encrypted, func(config *mysql.Config) { config.TLS.RootCAs = nil })
	Holds(err != nil, "a certificate of an unknown authority was taken")
}

func connectSocket(t *T) {
	if Socket == "" {
		Skip("no socket here")
	}
	Alive(t.Open(func(config *mysql.Config) { config.Net, config.Addr = "unix", Socket }))
}

func compress(t *T) {
	tap, option := tapped()
	client := t.Open(option, Interpolated, func(config *mysql.Config) { Must(config.Apply(mysql.EnableCompression(true))) })
	Alive(client)
	sent, received := len(tap.sentBytes()), tap.received.Load()
	value := strings.Repeat("shard ", 100_000)
	Holds(Column(client, "SELECT ?", value) == value, "another value came back")
	sent, received = len(tap.sentBytes())-sent, tap.received.Load()-received
	Holds(sent < 100_000 && received < 100_000, "%d bytes took %d out and %d back: not compressed", len(value), sent, received)
	Alive(client)
}

func pool(t *T) {
	client := t.Open()
	client.DB().SetMaxOpenConns(10)
	client.DB().SetMaxIdleConns(10)
	t.Step("20 tasks", func() {
		var ids sync.Map
		ends := make(chan string, 20)
		task := func(number int) (end string) {
			_, end = caught(func() {
				for round := range 50 {
					row := Rows(client, "SELECT ?, CONNECTION_ID()", number*1000+round)[0]
					Equal(row[0], asText(int64(number*1000+round)), "answer")
					ids.Store(row[1], true)
				}
			})
			return
		}
		for number := range 20 {
			go func() { ends <- task(number) }()
		}
		for range 20 {
			if end := <-ends; end != "" {
				Fail("%s", end)
			}
		}
		count := 0
		ids.Range(func(any, any) bool { count++; return true })
		Holds(count >= 2 && count <= 10, "%d connections for 20 tasks and a limit of 10", count)
	})
	t.Step("KILL", func() {
		connection := Value(client.DB().Conn(background))
		var id string
		Must(connection.QueryRowContext(background, "SELECT CONNECTION_ID()").Scan(&id))
		Exec(t.Open(), "KILL "+id)
		Eventually("the connection is ended", func() bool { return connection.PingContext(background) != nil })
		err := connection.Close()
		Holds(err == nil || errors.Is(err, driver.ErrBadConn), "closed with %v", err)
		for range 30 {
			Holds(Column(client, "SELECT CONNECTION_ID()") != id, "the ended connection answers")
		}
	})
}

func kill(t *T) {
	client := t.Open()
	t.Step("KILL QUERY", func() {
		id := Column(client, "SELECT CONNECTION_ID()")
		ended := make(chan string, 1)
		go func() {
			rows, err := TryRows(client, "SELECT SLEEP(30)")
			var refused *mysql.MySQLError
			switch {
			case err == nil:
				ended <- brief(rows)
			case errors.As(err, &refused) && refused.Number == 1317:
				ended <- "1317"
			default:
				ended <- err.Error()
			}
		}()
		other := t.Open()
		Eventually("SLEEP runs", func() bool {
			for _, row := range Rows(other, "SHOW FULL PROCESSLIST") {
				info, _ := row[7].(string)
				if row[0] == id && strings.Contains(info, "SLEEP") {
					return true
				}
			}
			return false
		})
		Exec(other, "KILL QUERY "+id)
		select {
		case end := <-ended:
			// A SLEEP alone says that it was woken: some servers by an error, some by a 1.
			Holds(end == "1317" || end == brief([][]any{{"1"}}), "SLEEP ended with %s", end)
		case <-time.After(10 * time.Second):
			Fail("SLEEP still runs after 10 s")
		}
		Alive(client)
	})
	t.Step("a context's deadline", func() {
		limited, cancel := context.WithTimeout(background, 200*time.Millisecond)
		defer cancel()
		_, err := client.Exec(limited, "DO SLEEP(30)")
		Holds(errors.Is(err, context.DeadlineExceeded), "ended with %v", err)
		Alive(client)
	})
	t.Step("a read time-out", func() {
		impatient := t.Open(func(config *mysql.Config) { config.ReadTimeout = 300 * time.Millisecond })
		begin := time.Now()
		Holds(TryExec(impatient, "DO SLEEP(30)") != nil, "nothing ended the statement")
		Holds(time.Since(begin) < 10*time.Second, "took %v", time.Since(begin))
		Alive(impatient)
	})
}
