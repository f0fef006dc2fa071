package compat

import "fmt"

// Person and Order are what an ORM works on; ids of the one and of the other do not fall on the same shards.
type (
	Person struct {
		ID          int
		Name, Email string
	}
	Order struct {
		ID, Person int
		Item       string
		Amount     float64
	}
)

// People are twelve; Orders are three of each.
func People() (all []Person) {
	for id := 1; id <= 12; id++ {
		name := []string{"名前", "Ada", "Grace", "Zoë"}[id%4]
		all = append(all, Person{id, fmt.Sprint(name, id), fmt.Sprintf("person%d@example.org", id)})
	}
	return
}

func Orders() (all []Order) {
	for n := range 36 {
		all = append(all, Order{n + 101, n%12 + 1, []string{"tea", "bread", "wine"}[n%3], float64(n) + 1.5})
	}
	return
}
