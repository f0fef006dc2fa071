// What the ORMs work on: people and their orders, whose sums are known.

export const PEOPLE = Array.from({ length: 12 }, (_, index) => ({
  id: index + 1,
  name: ['Ada', 'Grace', 'Zoë', '名前'][index % 4] + (index + 1),
  email: `person${index + 1}@example.org`,
  born: `19${50 + index}-03-1${index % 10}`,
}));

/** Three orders of each person; numbers of persons and orders do not fall on the same shards. */
export const ORDERS = Array.from({ length: 36 }, (_, index) => ({
  id: index + 101,
  person_id: (index % 12) + 1,
  item: ['tea', 'bread', 'wine'][index % 3],
  amount: `${index + 1}.50`,
}));

/** The items of a person's orders, in the order of their ids. */
export const itemsOf = (id) => ORDERS.filter((order) => order.person_id === id).map(({ item }) => item);

/** How many orders there are of each item, and their sum. */
export const TOTALS = ['bread', 'tea', 'wine'].map((item) => {
  const orders = ORDERS.filter((order) => order.item === item);
  return { item, n: orders.length, amount: orders.reduce((sum, { amount }) => sum + Number(amount), 0) };
});
