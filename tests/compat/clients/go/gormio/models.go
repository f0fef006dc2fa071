package main

import (
	"time"

	"gorm.io/gorm"

	"compat/compat"
)

// Keys of people and orders are the program's, as these tables may be sharded; those of tags are the server's.
type person struct {
	ID     int64  `gorm:"primaryKey;autoIncrement:false"`
	Name   string `gorm:"size:100;not null"`
	Email  *string
	Visits int            `gorm:"default:0"`
	Tags   map[string]int `gorm:"serializer:json;type:json"`
	Gone   gorm.DeletedAt
	Orders []order `gorm:"foreignKey:PersonID"`
}

type order struct {
	ID       int64   `gorm:"primaryKey;autoIncrement:false"`
	PersonID int64   `gorm:"index:by_person,priority:1"`
	Item     string  `gorm:"size:50;index:by_person,priority:2"`
	Amount   float64 `gorm:"type:decimal(12,2)"`
	Placed   time.Time
	Person   *person
}

type tag struct {
	ID        uint
	Label     string `gorm:"size:50;uniqueIndex"`
	Uses      int    `gorm:"default:1"`
	CreatedAt time.Time
	UpdatedAt time.Time
}

func (person) TableName() string { return compat.Named("people") }
func (order) TableName() string  { return compat.Named("orders") }
func (tag) TableName() string    { return compat.Named("tags") }

var placed = time.Date(2024, 2, 29, 12, 0, 0, 123_000_000, time.UTC)

// The tables are made anew.
func migrated(orm *gorm.DB) {
	compat.Must(orm.Migrator().DropTable(&order{}, &person{}, &tag{}))
	compat.Must(orm.AutoMigrate(&person{}, &order{}, &tag{}))
}

func people() (all []person) {
	for _, each := range compat.People() {
		all = append(all, person{ID: int64(each.ID), Name: each.Name, Email: &each.Email, Tags: map[string]int{"n": each.ID}})
	}
	return
}

func orders() (all []order) {
	for _, each := range compat.Orders() {
		all = append(all, order{ID: int64(each.ID), PersonID: int64(each.Person), Item: each.Item, Amount: each.Amount, Placed: placed})
	}
	return
}
