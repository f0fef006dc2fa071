package compat

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Driver opens a client; one that cannot log in gives an error at once.
type Driver func(*mysql.Config) (Client, error)

// Client is how a program sends statements; on one connection unless its pool is made larger.
type Client interface {
	Rows(ctx context.Context, statement string, values ...any) (*sql.Rows, error)
	Exec(ctx context.Context, statement string, values ...any) (affected int64, err error)
	DB() *sql.DB
}

var background = context.Background()

// Rows are the rows of a statement, every value as text or nil.
func Rows(client Client, statement string, values ...any) [][]any {
	rows, err := TryRows(client, statement, values...)
	Must(err)
	return rows
}

// TryRows is Rows where an error is expected.
func TryRows(client Client, statement string, values ...any) ([][]any, error) {
	rows, err := client.Rows(background, statement, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return Read(rows)
}

// Read reads the rest of the rows of one result.
func Read(rows *sql.Rows) ([][]any, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	all := [][]any{}
	for rows.Next() {
		row, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			places[i] = &row[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		for i, value := range row {
			row[i] = asText(value)
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// The two protocols give Go types of their own to the same value.
func asText(value any) any {
	switch value := value.(type) {
	case []byte:
		return string(value)
	case int64:
		return strconv.FormatInt(value, 10)
	case uint64:
		return strconv.FormatUint(value, 10)
	case float32:
		return strconv.FormatFloat(float64(value), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	}
	return value
}

// Column is the first column of the rows, joined by spaces.
func Column(client Client, statement string, values ...any) string {
	var all []string
	for _, row := range Rows(client, statement, values...) {
		all = append(all, row[0].(string))
	}
	return strings.Join(all, " ")
}

// Exec runs a statement; gives the number of affected rows.
func Exec(client Client, statement string, values ...any) int64 {
	return Value(client.Exec(background, statement, values...))
}

// TryExec is Exec where an error is expected.
func TryExec(client Client, statement string, values ...any) error {
	_, err := client.Exec(background, statement, values...)
	return err
}

// Create makes one of the program's tables anew; gives its name.
func Create(client Client, name, definition string) string {
	table := Named(name)
	Exec(client, "DROP TABLE IF EXISTS "+table)
	Exec(client, "CREATE TABLE "+table+" ("+definition+")")
	return table
}

// Alive fails unless the client's connection answers.
func Alive(client Client) {
	Equal(Column(client, "SELECT 1"), "1", "SELECT 1")
}
