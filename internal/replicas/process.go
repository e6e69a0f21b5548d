package replicas

// ProcessOf returns what tells the process that answers from all others: its id, or, where it names none, its group and name. A name by itself doesn't: it is its group's to give, and who
// starts in place of another may have the other's.
func ProcessOf(a Answer) string {
	if a.ID != "" {
		return a.ID
	}
	return named(a.Group, a.Name)
}

// named can't be taken for an id, which is of letters and digits.
func named(group, name string) string { return group + "\x00" + name }

// Silent returns those of members that haven't answered. answered are the processes that have, as ProcessOf tells them.
func Silent(members []Member, answered map[string]bool) []Member {
	silent := []Member{}
	for _, m := range members {
		if !answered[m.ID] && !answered[named(m.Group, m.Name)] {
			silent = append(silent, m)
		}
	}
	return silent
}
