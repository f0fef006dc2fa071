// The ORM gorm.io/gorm over go-sql-driver/mysql.
package main

import (
	"context"
	"database/sql"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"compat/compat"
)

type client struct{ orm *gorm.DB }

func (c client) DB() *sql.DB { return compat.Value(c.orm.DB()) }

func (c client) Rows(ctx context.Context, statement string, values ...any) (*sql.Rows, error) {
	return c.orm.WithContext(ctx).Raw(statement, values...).Rows()
}

func (c client) Exec(ctx context.Context, statement string, values ...any) (int64, error) {
	result := c.orm.WithContext(ctx).Exec(statement, values...)
	return result.RowsAffected, result.Error
}

func open(config *driver.Config) (compat.Client, error) {
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	orm, err := gorm.Open(mysql.New(mysql.Config{Conn: db}), &gorm.Config{
		Logger:                                   logger.Discard,
		DisableForeignKeyConstraintWhenMigrating: compat.Sharded, // a foreign key cannot point to a row on another shard
	})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return client{orm}, nil
}

func ormOf(t *compat.T, change ...func(*driver.Config)) *gorm.DB {
	return t.Open(append(change, func(config *driver.Config) { config.ParseTime = true })...).(client).orm
}

func main() {
	compat.Run(open, map[string]compat.Check{
		"prepared":     prepared,
		"transactions": transactions,
		"batch":        batch,
		"keys":         keys,
		"orm_schema":   schema,
		"orm_use":      use,
	})
}
