package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newCertificates() *cobra.Command {
	c := &cobra.Command{
		Use:   "certificates",
		Short: "Show the certificates of the running gateway: until when, and what is wrong",
		Long: `Shows the certificates that the listeners of the running gateway show, and those it shows to endpoints:
their names, their kind of key, who issued them, until when they are good, whether they come from files or
from an authority (ACME, tls: auto), and how they stand. Below the table stands what needs somebody.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum certificates
  straum certificates --json | jq '.certificates[] | select(.expires_in_seconds < 14 * 86400) | .names'`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	c.RunE = func(*cobra.Command, []string) error {
		return show(flags, http.MethodGet, client.CertificatesPath, nil, printCertificates)
	}
	return c
}

func printCertificates(w io.Writer, list client.CertificateList) error {
	if len(list.Certificates) == 0 {
		_, err := fmt.Fprintln(w, "no certificates: no listener has tls, and no upstream a certificate of its own")
		return err
	}
	t := newTable(w)
	fmt.Fprintln(t, "NAMES\tKIND\tISSUER\tEXPIRES\tSOURCE\tSTATE")
	for i := range list.Certificates {
		c := &list.Certificates[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", namesOf(c), cmp.Or(c.Kind, "-"), cmp.Or(commonName(c.Issuer), "-"), expiry(c.Ends, c.Left), c.Source, standing(c))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range list.Certificates {
		for _, text := range list.Certificates[i].Attention {
			fmt.Fprintf(w, "attention: %s\n", oneLine(text))
		}
	}
	return nil
}

func namesOf(c *client.Certificate) string {
	const most = 3
	switch n := len(c.Names); {
	case n == 0:
		return oneLine(c.CertFile)
	case n > most:
		return oneLine(fmt.Sprintf("%s and %d more", strings.Join(c.Names[:most-1], ", "), n-most+1))
	}
	return oneLine(strings.Join(c.Names, ", "))
}

// commonName is what people call an issuer; all of it when it has none.
func commonName(issuer string) string {
	for rest := issuer; rest != ""; {
		end := 0
		for end < len(rest) && rest[end] != ',' && rest[end] != '+' {
			if rest[end] == '\\' {
				end++ // RFC 4514 §2.4
			}
			end++
		}
		end = min(end, len(rest))
		if name, ok := strings.CutPrefix(rest[:end], "CN="); ok {
			return oneLine(strings.ReplaceAll(name, `\`, ""))
		}
		rest = rest[min(end+1, len(rest)):]
	}
	return oneLine(issuer)
}

// expiry is a day, and how far it is by the gateway's clock.
func expiry(ends *time.Time, left float64) string {
	if ends == nil {
		return "-"
	}
	return ends.UTC().Format("2006-01-02") + " (" + away(inSeconds(left)) + ")"
}

func away(d time.Duration) string {
	const day = 24 * time.Hour
	text, form := "", "in %s"
	if d < 0 {
		d, form = -d, "%s ago"
	}
	switch {
	case d >= 2*day:
		text = count(int(d/day), "day")
	case d >= 2*time.Hour:
		text = count(int(d/time.Hour), "hour")
	default:
		text = count(int(d/time.Minute), "minute")
	}
	return fmt.Sprintf(form, text)
}

// standing is the state, with what is worth knowing while it is so.
func standing(c *client.Certificate) string {
	parts := []string{strings.ReplaceAll(c.State, "_", " ")}
	if c.State == "refused" {
		parts[0] = "new files refused"
	}
	if c.ToEndpoints {
		parts = append(parts, "shown to endpoints")
	}
	if c.NextTry != nil {
		what := "renewal"
		if c.Ends == nil || c.State == "failed" {
			what = "next try"
		}
		parts = append(parts, what+" "+c.NextTry.UTC().Format("2006-01-02 15:04 UTC"))
	}
	if c.Stapling != "" {
		parts = append(parts, oneLine(c.Stapling))
	}
	return strings.Join(parts, "; ")
}
