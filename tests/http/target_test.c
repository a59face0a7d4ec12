/* What a URL leads to: which host's name must be known first. */
#include "http/target.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"
#include "weft/error.h"

static const char *why_not(const char *url)
{
    struct weft__http_target target;
    const char *why = "";

    return weft__http_target_parse(url, &target, &why) == 0 ? "it is fine" : why;
}

/* "host port", or "- port" for a numeric one; tls in front of it. */
static const char *parts(const char *url)
{
    static char text[400];
    struct weft__http_target target;
    const char *why;

    if (weft__http_target_parse(url, &target, &why) != 0)
        return why;
    snprintf(text, sizeof text, "%s%s %u", target.is_tls ? "tls " : "", target.is_numeric ? "-" : target.host, target.port);
    return text;
}

TEST(a_numeric_host_needs_no_name)
{
    check_str(parts("http://127.0.0.1/"), "- 80");
    check_str(parts("http://127.0.0.1:8080"), "- 8080");
    check_str(parts("http://127.0.0.1:8080/a?b#c"), "- 8080");
    check_str(parts("https://10.0.0.1?x"), "tls - 443");
    check_str(parts("http://[::1]:81/"), "- 81");
    check_str(parts("https://[fe80::1%25eth0]/"), "tls - 443");
    check_str(parts("http://user:word@127.0.0.1/"), "- 80");
}

TEST(odd_ways_to_write_an_address_are_numeric_too)
{
    check_str(parts("http://2130706433/"), "- 80");
    check_str(parts("http://0x7f.1:9/"), "- 9");
}

TEST(a_name_is_found_with_its_port)
{
    check_str(parts("http://example.com"), "example.com 80");
    check_str(parts("HTTPS://Example.com/x"), "tls Example.com 443");
    check_str(parts("https://user@example.com:8443/"), "tls example.com 8443");
    check_str(parts("http://example.com./"), "example.com. 80");
    check_str(parts("http://127.0.0.1.example.com/"), "127.0.0.1.example.com 80");
    check_str(parts("http://1.2.3.4@example.com/"), "example.com 80");
    check_str(parts("http://1.2.3.4:80@example.com/"), "example.com 80");
}

TEST(a_name_beyond_ascii_has_to_be_written_as_punycode)
{
    check_has(why_not("http://b\xc3\xbc" "cher.example/"), "punycode");
    check_str(parts("http://xn--bcher-kva.example/"), "xn--bcher-kva.example 80");
}

TEST(what_is_no_http_url_is_refused_in_words)
{
    check_has(why_not("ftp://127.0.0.1/"), "neither http nor https");
    check_has(why_not("file:///etc/passwd"), "neither http nor https");
    check_has(why_not("example.com"), "http://");
    check_has(why_not(""), "");
    check_ne(strcmp(why_not(""), "it is fine"), 0);
    check_ne(strcmp(why_not("http://"), "it is fine"), 0);
    check_ne(strcmp(why_not("http://a b/"), "it is fine"), 0);
    check_ne(strcmp(why_not("http://127.0.0.1/a b"), "it is fine"), 0);
    check_ne(strcmp(why_not("http://127.0.0.1:99999/"), "it is fine"), 0);
    check_ne(strcmp(why_not("http://127.0.0.1:/../\r\nHost: x"), "it is fine"), 0);
    check_ne(strcmp(why_not("http://[::1/"), "it is fine"), 0);
}

TEST(a_name_that_is_too_long_is_refused)
{
    char url[700] = "http://";

    memset(url + 7, 'a', 600);
    url[607] = '\0';
    check_ne(strcmp(why_not(url), "it is fine"), 0);
}

TEST(a_proxy_needs_a_port_and_a_scheme_that_resolves)
{
    struct weft__http_target target;
    const char *why = "";

    check_int(weft__http_target_parse_proxy("http://proxy:3128", &target, &why), 0);
    check_str(target.host, "proxy");
    check_int(target.port, 3128);
    check_int(weft__http_target_parse_proxy("socks5h://127.0.0.1:1080", &target, &why), 0);
    check(target.is_numeric);
    check_int(weft__http_target_parse_proxy("http://proxy", &target, &why), WEFT_EINVAL);
    check_has(why, "port");
    check_int(weft__http_target_parse_proxy("socks5://proxy:1", &target, &why), WEFT_EINVAL);
    check_int(weft__http_target_parse_proxy("proxy", &target, &why), WEFT_EINVAL);
}

TEST(the_same_origin_is_the_same_scheme_host_and_port)
{
    check(weft__http_target_is_same("http://a/x", "http://A:80/y?z"));
    check(weft__http_target_is_same("https://u:p@a", "https://a:443/#f"));
    check(!weft__http_target_is_same("http://a/", "https://a/"));
    check(!weft__http_target_is_same("http://a/", "http://a:81/"));
    check(!weft__http_target_is_same("http://a/", "http://b/"));
    check(!weft__http_target_is_same("http://a/", "nonsense"));
}
