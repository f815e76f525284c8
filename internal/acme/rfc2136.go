package acme

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// Update is a name server that takes dynamic updates (RFC 2136), signed if it wants them so (TSIG, RFC 8945). Any libdns provider
// could stand in its place.
type Update struct {
	Server    string // address, or address:port; port 53 if there is none
	KeyName   string // empty: updates are not signed
	Algorithm string // hmac-sha256 (the default), hmac-sha224, hmac-sha384, hmac-sha512 or hmac-sha1
	Secret    string // the key in base64
}

// updateTime bounds one update.
const updateTime = 15 * time.Second

var algorithms = map[string]string{
	"":            dns.HmacSHA256,
	"hmac-sha1":   dns.HmacSHA1,
	"hmac-sha224": dns.HmacSHA224,
	"hmac-sha256": dns.HmacSHA256,
	"hmac-sha384": dns.HmacSHA384,
	"hmac-sha512": dns.HmacSHA512,
}

func (u *Update) check() error {
	if u.Server == "" {
		return fmt.Errorf("acme: dns: updates need the address of a server")
	}
	if algorithms[strings.ToLower(u.Algorithm)] == "" {
		return fmt.Errorf("acme: dns: algorithm %q: allowed are hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 and hmac-sha512", u.Algorithm)
	}
	if (u.KeyName == "") != (u.Secret == "") {
		return fmt.Errorf("acme: dns: a signed update needs both the key's name and its secret")
	}
	if _, err := base64.StdEncoding.DecodeString(u.Secret); err != nil {
		return fmt.Errorf("acme: dns: the secret of key %q is not base64", u.KeyName)
	}
	return nil
}

// AppendRecords adds records to the zone. Only TXT is supported.
func (u *Update) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return u.send(ctx, zone, records, (*dns.Msg).Insert)
}

// DeleteRecords removes exactly these records from the zone.
func (u *Update) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return u.send(ctx, zone, records, (*dns.Msg).Remove)
}

func (u *Update) send(ctx context.Context, zone string, records []libdns.Record, how func(*dns.Msg, []dns.RR)) ([]libdns.Record, error) {
	zone = dns.Fqdn(zone)
	all := make([]dns.RR, 0, len(records))
	for _, record := range records {
		rr := record.RR()
		if rr.Type != "TXT" {
			return nil, fmt.Errorf("a record of type %s cannot be written", rr.Type)
		}
		all = append(all, &dns.TXT{
			Hdr: dns.RR_Header{
				Name: dns.Fqdn(libdns.AbsoluteName(rr.Name, zone)), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(rr.TTL / time.Second),
			},
			Txt: []string{rr.Data}, // 43 characters; one string holds 255
		})
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	how(m, all)

	client := dns.Client{Net: "tcp", Timeout: updateTime}
	if u.KeyName != "" {
		key := dns.Fqdn(strings.ToLower(u.KeyName))
		client.TsigSecret = map[string]string{key: u.Secret}
		m.SetTsig(key, algorithms[strings.ToLower(u.Algorithm)], 300, time.Now().Unix())
	}
	server := u.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	answer, _, err := client.ExchangeContext(ctx, m, server)
	switch {
	case err != nil && answer != nil && answer.Rcode != dns.RcodeSuccess, err == nil && answer.Rcode != dns.RcodeSuccess:
		// A server that rejects the key cannot sign its refusal.
		return nil, fmt.Errorf("the name server %s refused to update zone %s: %s%s", server, zone, dns.RcodeToString[answer.Rcode], u.advise(answer))
	case err != nil:
		return nil, fmt.Errorf("updating zone %s at the name server %s: %w", zone, server, err)
	case u.KeyName != "" && answer.IsTsig() == nil:
		return nil, fmt.Errorf("the name server %s did not sign its answer to the update of zone %s", server, zone)
	}
	return records, nil
}

func (u *Update) advise(answer *dns.Msg) string {
	if t := answer.IsTsig(); t != nil {
		switch t.Error {
		case dns.RcodeBadSig:
			return ": the secret of key " + u.KeyName + " differs"
		case dns.RcodeBadKey:
			return ": it knows no key " + u.KeyName + " of that algorithm"
		case dns.RcodeBadTime:
			return ": its clock and ours differ"
		}
	}
	return ""
}
