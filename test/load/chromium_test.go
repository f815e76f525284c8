package load

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"straum.dev/straum/test/gateway"
)

// chromium starts a browser of its own. It runs without a sandbox, since tests run as root.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: scripts/packages.txt tells what brings it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(gateway.Patience))
	bounded, end := context.WithTimeout(t.Context(), 3*gateway.Patience)
	t.Cleanup(end)
	allocated, end := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it has ended
	return ctx
}

// The page stands in a browser: its plots are drawn in their colours, nothing is complained about, and nothing is asked for anywhere.
func TestPage(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	page := filepath.Join(t.TempDir(), "load.html")
	mix := put(t, t.TempDir(), "mix.yaml", "requests:\n  - { path: /a }\n  - { name: \"<img src=https://elsewhere.example/>\", path: /b }\n")
	text, stderr, code := run(t, o.URL, "--mix", mix, "--rate", "200,400", "--duration", "1300ms", "--warmup", "0s", "--html", page)
	if code != 0 || !strings.Contains(text, "REACHED") {
		t.Fatalf("exit code %d, %s%s", code, text, stderr)
	}
	ctx := chromium(t)
	var mu sync.Mutex
	var asked, complaints []string
	err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *network.EventRequestWillBeSent:
			asked = append(asked, ev.Request.URL)
		case *log.EventEntryAdded:
			complaints = append(complaints, ev.Entry.Text)
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, "a call of the console")
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, "an exception")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate("file://"+page)); err != nil {
		t.Fatal(err)
	}
	ask := func(script string) string {
		t.Helper()
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script))
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return got
	}
	shown := `[...document.querySelectorAll("svg.chart")].filter(s => s.getBoundingClientRect().height > 100).map(s => s.classList[1] + ": " + s.querySelector("title").textContent).join("\n")`
	const plots = `wide: Latency against rate
wide: Answers against rate
wide: Latency by percentile
wide: Latency over time at 200/s
wide: Throughput over time at 200/s
wide: Latency over time at 400/s
wide: Throughput over time at 400/s`
	for what, c := range map[string][2]string{
		"title":      {`document.title`, "Load: " + o.URL + "/"},
		"plots":      {shown, plots},
		"colours":    {`getComputedStyle(document.querySelector("svg.wide path.line.c0")).stroke`, "rgb(11, 95, 176)"},
		"pictures":   {`String(document.images.length + document.scripts.length + document.links.length)`, "0"},
		"a name":     {`String([...document.querySelectorAll("tbody th")].some(c => c.textContent == "<img src=https://elsewhere.example/>"))`, "true"},
		"the widths": {`String(document.documentElement.scrollWidth <= innerWidth)`, "true"},
	} {
		if got := ask(c[0]); got != c[1] {
			t.Errorf("%s: %s, want %s", what, got, c[1])
		}
	}
	// On a phone the plots are others, and nothing is wider than the screen.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(360, 740)); err != nil {
		t.Fatal(err)
	}
	if got := ask(shown); got != strings.ReplaceAll(plots, "wide", "narrow") {
		t.Errorf("on a phone: %s", got)
	}
	if got := ask(`String(document.documentElement.scrollWidth) + " of " + innerWidth`); got != "360 of 360" {
		t.Errorf("on a phone it is %s wide", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
	if len(asked) != 1 || asked[0] != "file://"+page {
		t.Errorf("the browser asked for %q", asked)
	}
}
