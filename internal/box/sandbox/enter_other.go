//go:build !linux

package sandbox

import "runtime"

// Enter says that there is nothing: only Linux has what this package uses.
func Enter(Wants) (*InForce, error) {
	return &InForce{Lacking: []string{"everything: " + runtime.GOOS + " has no Landlock and no capabilities"}}, nil
}

// Refuses says that nothing is refused.
func (f *InForce) Refuses(string, bool) bool { return false }

// Held says that there are none.
func Held() ([]string, error) { return nil, nil }
