package oidc

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"straum.dev/straum/test/gateway"
)

// chromium starts a browser of its own, which takes any certificate. It runs without a sandbox, since tests run as root.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: scripts/packages.txt tells what brings it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.IgnoreCertErrors, chromedp.WSURLReadTimeout(gateway.Patience))
	bounded, end := context.WithTimeout(t.Context(), 3*gateway.Patience)
	t.Cleanup(end)
	allocated, end := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it has ended
	return ctx
}

// do drives a browser.
func do(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		at, _ := chromedp.Run(ctx, chromedp.Location())
		t.Fatalf("%s: %v; the browser is at %s", what, err, at)
	}
}

// run asks a browser.
func run[T any](t *testing.T, ctx context.Context, what string, a chromedp.Action[T]) T {
	t.Helper()
	got, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return got
}

// title waits for a page whose heading has a text.
func title(want string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.Search(`//h1[@id="title" and contains(., "` + want + `")]`))
}

// showPassword fills the provider's login page in.
func showPassword(t *testing.T, ctx context.Context) {
	t.Helper()
	do(t, ctx, "the login page", title("Log in"), chromedp.SendKeys(chromedp.ID("user"), "alice"), chromedp.SendKeys(chromedp.ID("password"), password),
		chromedp.Click(chromedp.ID("go")))
}

// script is the status that a script of the page gets.
func script(t *testing.T, ctx context.Context) int {
	t.Helper()
	return run(t, ctx, "a script", chromedp.Evaluate[int](`fetch("/data").then(r => r.status)`, chromedp.EvalAwaitPromise))
}

// A person with Chromium logs in, keeps going while tokens are renewed, and logs out; by TLS and, on this box, without.
func TestChromium(t *testing.T) {
	for name, plain := range map[string]bool{"TLS": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, plain, []string{"-access", "2s", "-id", "1h"}, "scopes: [openid, offline_access]", "post_logout: /bye")
			ctx := chromium(t)
			do(t, ctx, "the page is asked for", chromedp.Navigate(s.origin+"/page?x=1"))
			showPassword(t, ctx)
			do(t, ctx, "the page", title("/page?x=1 sees alice"))

			cookies, err := chromedp.CallBrowser(ctx, storage.GetCookies, storage.GetCookiesParams{})
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, c := range cookies.Cookies {
				if !strings.Contains(c.Name, "straum-") {
					continue
				}
				if found++; !c.HTTPOnly || c.Secure == plain || c.SameSite != network.CookieSameSiteLax || strings.HasPrefix(c.Name, "__Host-") == plain {
					t.Errorf("the cookie is %+v", c)
				}
			}
			if found != 1 {
				t.Errorf("%d cookies of ours: %+v", found, cookies.Cookies)
			}

			asked := s.issuer.Count("/token")
			gateway.Await(t, "tokens are renewed twice", func() bool {
				do(t, ctx, "a page", chromedp.Navigate(s.origin+"/more"), title("/more sees alice"))
				return s.issuer.Count("/token") > asked+1
			})
			if status := script(t, ctx); status != 200 {
				t.Errorf("a script with a session gets %d", status)
			}

			do(t, ctx, "the logout", chromedp.Click(chromedp.ID("out")), title("/bye sees"))
			if status := script(t, ctx); status != 401 {
				t.Errorf("a script without a session gets %d", status)
			}
			do(t, ctx, "the page after the logout", chromedp.Navigate(s.origin+"/page"), title("Log in"))
			if n := s.issuer.Count("/revoke"); n != 1 {
				t.Errorf("the refresh token was revoked %d times", n)
			}
		})
	}
}

// A page of another site can send a browser to the logout path, and nothing comes of it.
func TestChromiumForeignLogout(t *testing.T) {
	s := open(t, false, nil)
	ctx := chromium(t)
	do(t, ctx, "the page is asked for", chromedp.Navigate(s.origin+"/"))
	showPassword(t, ctx)
	do(t, ctx, "the page", title("/ sees alice"))
	for _, method := range []string{"post", "get"} {
		do(t, ctx, "another site", chromedp.Navigate(s.issuer.URL+"/jwks"))
		if _, err := chromedp.RunResponse(ctx, chromedp.Steps(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.body.innerHTML = '<form id="f" method="`+method+`" action="`+s.origin+`/.straum/oidc/logout"><button id="b">x</button></form>'; true`))
			return err
		}), chromedp.Click(chromedp.ID("b")))); err != nil {
			t.Fatal(err)
		}
		if text := run(t, ctx, "the answer", chromedp.Text(chromedp.CSS("body"))); !strings.Contains(text, "A page of another site may not log people out here.") {
			t.Errorf("%s: the browser shows %.200s", method, text)
		}
	}
	do(t, ctx, "the page", chromedp.Navigate(s.origin+"/"), title("/ sees alice"))
}
