package main

import (
	"net/netip"
	"os"
	"strings"
)

// operator is the address of whoever works here over SSH, empty when nobody does or it is not known. It goes along with calls to the
// gateway, so that it does not ban those who look after it.
func operator() string {
	for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT"} {
		if address := addressIn(os.Getenv(name)); address != "" {
			return address
		}
	}
	return behindSudo()
}

// addressIn is the address of the client in what sshd sets: address, port and perhaps more.
func addressIn(text string) string {
	first, _, _ := strings.Cut(text, " ")
	a, err := netip.ParseAddr(first)
	if err != nil {
		return ""
	}
	return a.Unmap().WithZone("").String()
}
