package consumer

import (
	"fmt"
	"slices"
	"strings"
)

// set is a sorted list of words without repetitions.
type set struct {
	words  []string
	joined string
}

// sets keeps each set once, since a million credentials have few different ones. Number 0 is the empty set.
type sets struct {
	list   []set
	known  map[string]uint32 // by the words joined in order
	lists  map[string]uint32 // by a list as a file has it
	joiner string
	check  func(word string) error
}

func newSets(joiner string, check func(string) error) sets {
	return sets{list: []set{{}}, known: map[string]uint32{"": 0}, lists: map[string]uint32{}, joiner: joiner, check: check}
}

// add gives the number of the set of these words. It keeps none of them.
func (s *sets) add(words []string) (uint32, error) {
	if len(words) == 0 {
		return 0, nil
	}
	if len(words) > maxWords {
		return 0, fmt.Errorf("found a list of %d words; allowed: up to %d", len(words), maxWords)
	}
	for _, word := range words {
		if err := s.check(word); err != nil {
			return 0, err
		}
	}
	sorted := slices.Clone(words)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	joined := strings.Join(sorted, s.joiner)
	if number, ok := s.known[joined]; ok {
		return number, nil
	}
	if len(s.list) == maxItems {
		return 0, errFull
	}
	joined = strings.Clone(joined) // of one word it is the word itself
	number := uint32(len(s.list))
	s.list = append(s.list, set{strings.Split(joined, s.joiner), joined})
	s.known[joined] = number
	return number, nil
}

// addList gives the number of the set that a file writes as words with commas between them.
func (s *sets) addList(list string) (uint32, error) {
	if list == "" {
		return 0, nil
	}
	if number, ok := s.lists[list]; ok {
		return number, nil
	}
	number, err := s.add(strings.Split(list, ","))
	if err == nil {
		s.lists[strings.Clone(list)] = number
	}
	return number, err
}
