package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/consumer"
)

func newKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make and check API keys and hashes of passwords",
		Long: `Makes what consumers show, and what the configuration has instead: hashes. No gateway is asked and
nothing is written. Keys and passwords are read from standard input, never from the command line, which
other programs on the machine can see.

` + exitHelp,
		Args: aCommand,
		RunE: func(c *cobra.Command, _ []string) error { return failed(c.Help()) },
	}
	c.AddCommand(newKeyNew(), newKeyHash(), newKeyCheck(), newKeyPassword())
	return c
}

func newKeyNew() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Make an API key",
		Long: `Makes an API key of 256 random bits and prints it, once: only its hash is kept, and only by you. The key
goes to standard output; what to put into the configuration, or as a line into a file of credentials, goes
to standard error. With --json all of it goes to standard output.

` + exitHelp,
		Example: `  straum key new --consumer acme --expires 90d --scopes orders:read
  straum key new --consumer acme --json | jq -r .line >> credentials`,
		Args: noArguments,
	}
	of := c.Flags().String("consumer", "", "`id` of the consumer it is for")
	_ = c.MarkFlagRequired("consumer")
	id := c.Flags().String("id", "", "`id` of the key in logs and lists (default: the public part of the key)")
	expires := c.Flags().String("expires", "", "until when it is good: `days` from now (90d), a day (2027-01-31) or a time (2027-01-31T12:00:00Z); for ever when left out")
	scopes := c.Flags().StringSlice("scopes", nil, "what callers with it may do, with commas between: `a,b`")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		until, err := untilWhen(*expires, time.Now())
		if err != nil {
			return fmt.Errorf("--expires: %w", err)
		}
		key, public, hash, err := consumer.NewKey(rand.Reader)
		if err != nil {
			return failed(err)
		}
		k := madeKey{Key: key, ID: public, Hash: hash, Consumer: *of, Expires: until, Scopes: *scopes}
		if *id != "" {
			k.ID = *id
		}
		if err := k.check(); err != nil {
			return err
		}
		k.YAML, k.Line = k.yaml(), k.line()
		if *asJSON {
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return failed(e.Encode(k))
		}
		if _, err := fmt.Fprintln(c.OutOrStdout(), key); err != nil {
			return failed(err)
		}
		_, err = fmt.Fprintf(c.ErrOrStderr(), `
The key stands above, once: give it to %s. Only its hash goes into the configuration,

%s
or, as one line, into one of its credential_files:

%s
`, k.Consumer, k.YAML, k.Line)
		return failed(err)
	}
	return c
}

// madeKey is a new key with all that is said of it.
type madeKey struct {
	Key      string   `json:"key"`
	ID       string   `json:"id"`
	Hash     string   `json:"hash"`
	Consumer string   `json:"consumer"`
	Expires  string   `json:"expires,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	YAML     string   `json:"yaml"`
	Line     string   `json:"line"`
}

// check judges the key as the gateway will.
func (k *madeKey) check() error {
	b := consumer.NewBuilder()
	if err := b.Consumer(consumer.Consumer{ID: k.Consumer}); err != nil {
		return fmt.Errorf("--consumer: %w", err)
	}
	hash, err := consumer.ParseHash(k.Hash)
	if err == nil {
		err = b.Key(k.Consumer, consumer.KeySpec{Hash: hash, Terms: consumer.Terms{ID: k.ID, Scopes: k.Scopes}})
	}
	return err
}

func (k *madeKey) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "consumers:\n  - id: %q\n    credentials:\n      - { api_key: %q, id: %q", k.Consumer, k.Hash, k.ID)
	if k.Expires != "" {
		fmt.Fprintf(&b, ", expires: %q", k.Expires)
	}
	for i, s := range k.Scopes {
		fmt.Fprintf(&b, "%s%q", [...]string{", scopes: [", ", "}[min(i, 1)], s)
	}
	if len(k.Scopes) > 0 {
		b.WriteString("]")
	}
	b.WriteString(" }\n")
	return b.String()
}

func (k *madeKey) line() string {
	line := fmt.Sprintf("api_key=%s consumer=%s id=%s", k.Hash, k.Consumer, k.ID)
	if len(k.Scopes) > 0 {
		line += " scopes=" + strings.Join(k.Scopes, ",")
	}
	if k.Expires != "" {
		line += " expires=" + k.Expires
	}
	return line
}

// untilWhen reads the end of a credential, which must not be over; so many days from now become the day then.
func untilWhen(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n < 1 || n > 20_000 {
			return "", fmt.Errorf("found %q; allowed: 1d to 20000d from now, or a day such as 2027-01-31", text)
		}
		return now.UTC().AddDate(0, 0, int(n)).Format(time.DateOnly), nil
	}
	at, err := consumer.ParseExpires(text)
	switch {
	case err != nil && at == 0: // it is no time
		err = fmt.Errorf("found %.40q; allowed: days from now (90d), a day (2027-01-31, to its end in UTC) or a time (2027-01-31T12:00:00Z)", text)
	case err == nil && at <= now.Unix():
		err = fmt.Errorf("%s is over already", text)
	}
	return text, err
}

func newKeyHash() *cobra.Command {
	return &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of an API key you have already",
		Long: `Reads an API key from standard input and prints what the configuration has for it. The key may come from
another program; it has to be random, since the hash of one that can be guessed can be found by trying.

` + exitHelp,
		Example: "  straum key hash < key.txt",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := readSecret(c, "key")
			if err != nil {
				return failed(err)
			}
			switch form := consumer.FormOf(key); {
			case form == consumer.Damaged:
				return failed(errDamaged)
			case form == consumer.Foreign && len(key) < consumer.MinKey:
				return failed(fmt.Errorf("the key has %d characters; one that was not made by straum key new must have at least %d, all random", len(key), consumer.MinKey))
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), consumer.FormatHash(consumer.Hash(key)))
			return failed(err)
		},
	}
}

var errDamaged = errors.New("the key begins like one of straum's, and its checksum is wrong: characters are missing, mixed up or too many")

func newKeyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether an API key is well-formed, and what its hash is",
		Long: `Reads an API key from standard input and says whether it was copied whole, which id it has and which
hash to look for in the configuration. Whether a gateway takes it is not asked.

` + exitHelp,
		Example: "  straum key check < key.txt",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := readSecret(c, "key")
			if err != nil {
				return failed(err)
			}
			said := ""
			switch consumer.FormOf(key) {
			case consumer.Damaged:
				return failed(errDamaged)
			case consumer.Sound:
				said = "well-formed, with the id " + consumer.KeyID(key)
			default:
				said = "not made by straum key new, so nothing can be said about it"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n", said, consumer.FormatHash(consumer.Hash(key)))
			return failed(err)
		},
	}
}

func newKeyPassword() *cobra.Command {
	return &cobra.Command{
		Use:   "password",
		Short: "Print the hash of a password",
		Long: `Reads a password from standard input and prints its hash (argon2id with 19 MiB, 2 passes and 1 lane), for
a credential of the kind basic. A terminal shows what is typed; where somebody looks on, read it
without: (read -rs P && printf %s "$P") | straum key password

` + exitHelp,
		Example: "  straum key password < password.txt",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			password, err := readSecret(c, "password")
			if err != nil {
				return failed(err)
			}
			hash, err := consumer.HashPassword(rand.Reader, password)
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), hash)
			}
			return failed(err)
		},
	}
}

// maxSecret is the longest key or password that is read, in bytes. More than that no request can show.
const maxSecret = 512

// readSecret reads one line of standard input.
func readSecret(c *cobra.Command, what string) (string, error) {
	if f, ok := c.InOrStdin().(*os.File); ok && isTerminal(f) {
		fmt.Fprintf(c.ErrOrStderr(), "Type the %s and press Enter; the terminal shows it.\n", what)
	}
	line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), maxSecret+3)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case text == "":
		return "", fmt.Errorf("standard input holds no %s", what)
	case len(text) > maxSecret:
		return "", fmt.Errorf("the %s is longer than %d bytes", what, maxSecret)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || what == "key" && (r == ' ' || r > 0x7f) }):
		return "", fmt.Errorf("the %s holds characters that no request can show: control characters, in a key also spaces and what is not ASCII", what)
	}
	return text, nil
}

// isTerminal says whether somebody may sit there and type. Of the devices that read like one, the empty one is the one in use.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	empty, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, empty)
}
