//go:build !linux

package nft

import (
	"errors"
	"net/netip"
)

func newTable(string) table { return none{} }

// none is the table of a system without nftables.
type none struct{}

var errSystem = errors.New("bans.kernel needs nftables, which only Linux has; set it to false")

func (none) reset([]uint16) error                   { return errSystem }
func (none) update([]netip.Prefix, []element) error { return errSystem }
func (none) there() (bool, error)                   { return false, errSystem }
func (none) remove() error                          { return nil }
