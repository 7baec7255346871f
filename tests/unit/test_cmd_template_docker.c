/*
 * cmd/template.h against docker: what `docker container inspect --format` of
 * docker 28.2 answered to these templates over the same container, character by
 * character.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/template.h"

DEFINE_CLEANUP(struct template *, template_free);
#define cleanup_template CLEANUP(template_free_cleanup)

#define PREFIX "template parsing error: template: "

static const char container[] =
	"{\"Id\":\"aaaa\",\"Created\":\"\",\"Name\":\"/"
	"www\",\"Path\":\"sh\",\"Args\":["
	"\"a\",\"b\",\"c\"],\"RestartCount\":42,\"State\":{\"Status\":"
	"\"running\",\""
	"Running\":true,\"Paused\":false,\"Pid\":7,\"ExitCode\":0,\"StartedAt"
	"\":\"2026-01-01T00:00:00Z\"},\"ExecIDs\":null,\"HostConfig\":{\"Memo"
	"ry\":8589934592,\"Binds\":null,\"RestartPolicy\":{\"Name\":\"\",\"Maxi"
	"mumRetryCount\":0},\"LogConfig\":{\"Type\":\"\",\"Config\":{}},\"Memor"
	"ySwappiness\":null,\"PortBindings\":{},\"ConsoleSize\":[0,0]},\"Gr"
	"aphDriver\":{\"Name\":\"\",\"Data\":null},\"Mounts\":[{\"Source\":\"/"
	"a\","
	"\"RW\":true},{\"Source\":\"/"
	"b\",\"RW\":false}],\"Config\":{\"Hostname\":"
	"\"<a>&'\\\"\",\"Domainname\":\"\",\"OpenStdin\":false,\"Cmd\":null,"
	"\"Volu"
	"mes\":null,\"Env\":[\"A=1\",\"B=é\"],\"Labels\":{\"com.x\":\"1\","
	"\"maintai"
	"ner\":\"me\"},\"User\":\"\",\"Image\":\"ÄÖü "
	"x\"},\"NetworkSettings\":{\"Po"
	"rts\":{\"80/"
	"tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}],\"53/"
	"udp\":null}}}";

/* clang-format off */
static const struct row {
	const char *template;
	const char *output; /* NULL: refused … */
	const char *error;  /* … with this behind PREFIX */
} rows[] = {
	{"{{\"a\\x41é\\101\\a\\b\\f\\v\"}}", "aAéA\007\010\014\013", NULL},
	{"{{'a'}}", "97", NULL},
	{"{{'\\n'}} {{'é'}}", "10 233", NULL},
	{"{{`a`}}", "a", NULL},
	{"{{1_000}} {{0x1F}} {{0b101}} {{0o17}} {{017}} {{1e3}} {{1.5e2}} {{.5}} {{1.}} {{+3}} {{-0x10}}", "1000 31 5 15 15 1000 150 0.5 1 3 -16", NULL},
	{"{{99999999999999999999}}", NULL, ":1: integer overflow: \"99999999999999999999\""},
	{"{{nil}}", NULL, ":1:2: executing \"\" at <nil>: nil is not a command"},
	{"{{print nil}}", "<nil>", NULL},
	{"{{.Args}}", "[a b c]", NULL},
	{"{{.State.Running}} {{.RestartCount}}", "true 42", NULL},
	{"{{range .Args}}{{.}}{{break}}{{end}}", "a", NULL},
	{"{{range .Args}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac", NULL},
	{"{{break}}", NULL, ":1: {{break}} outside {{range}}"},
	{"{{continue}}", NULL, ":1: {{continue}} outside {{range}}"},
	{"{{range .Args}}{{else}}{{break}}{{end}}", NULL, ":1: {{break}} outside {{range}}"},
	{"{{range $i := .Args}}{{$i}}{{end}}", "abc", NULL},
	{"{{range $i, $e := .Args}}{{$i}}{{$e}}{{end}}", "0a1b2c", NULL},
	{"{{$x := 1}}{{range $x = .Args}}{{end}}{{$x}}", "c", NULL},
	{"{{$i := 0}}{{$e := \"\"}}{{range $i, $e = .Args}}{{end}}{{$i}}{{$e}}", "2c", NULL},
	{"{{range 3}}{{.}}{{end}}", "012", NULL},
	{"{{range $i := 3}}{{$i}}{{end}}", "012", NULL},
	{"{{range -1}}x{{else}}none{{end}}", "none", NULL},
	{"{{range .Nope}}{{end}}", NULL, ":1:8: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
	{"{{.Nope}}", NULL, ":1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
	{"{{.State.Nope}}", NULL, ":1:8: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""},
	{"{{.Config.Labels.nope}}", "<no value>", NULL},
	{"{{.Config.Labels.maintainer}}", "me", NULL},
	{"{{index .Config.Labels \"nope\"}}", "", NULL},
	{"{{index .Config.Labels \"com.x\"}}", "1", NULL},
	{"{{index .Args 9}}", NULL, ":1:2: executing \"\" at <index .Args 9>: error calling index: index out of range: 9"},
	{"{{index .Args -1}}", NULL, ":1:2: executing \"\" at <index .Args -1>: error calling index: index out of range: -1"},
	{"{{index .Args \"a\"}}", NULL, ":1:2: executing \"\" at <index .Args \"a\">: error calling index: cannot index slice/array with type string"},
	{"{{index .Config.Labels 1}}", NULL, ":1:2: executing \"\" at <index .Config.Labels 1>: error calling index: value has type int; should be string"},
	{"{{index nil 1}}", NULL, ":1:2: executing \"\" at <index nil 1>: error calling index: index of untyped nil"},
	{"{{index .Name 1}}", "119", NULL},
	{"{{index .Args}}", "[a b c]", NULL},
	{"{{index .Args 0 0}}", "97", NULL},
	{"{{index 3 0}}", NULL, ":1:2: executing \"\" at <index 3 0>: error calling index: can't index item of type int"},
	{"{{slice .Args 1}} {{slice .Args 1 2}} {{slice .Args 0 1 2}}", "[b c] [b] [a]", NULL},
	{"{{slice .Name 1}} {{slice .Name 0 2}}", "www /w", NULL},
	{"{{slice .Name 0 1 2}}", NULL, ":1:2: executing \"\" at <slice .Name 0 1 2>: error calling slice: cannot 3-index slice a string"},
	{"{{slice .Args 9}}", NULL, ":1:2: executing \"\" at <slice .Args 9>: error calling slice: index out of range: 9"},
	{"{{slice .Args 2 1}}", NULL, ":1:2: executing \"\" at <slice .Args 2 1>: error calling slice: invalid slice index: 2 > 1"},
	{"{{slice .Args -1}}", NULL, ":1:2: executing \"\" at <slice .Args -1>: error calling slice: index out of range: -1"},
	{"{{slice 3 1}}", NULL, ":1:2: executing \"\" at <slice 3 1>: error calling slice: can't slice item of type int"},
	{"{{len .Args}} {{len .Name}} {{len .Config.Labels}} {{len \"é\"}}", "3 4 2 2", NULL},
	{"{{len 3}}", NULL, ":1:2: executing \"\" at <len 3>: error calling len: len of type int"},
	{"{{len .State}}", "6", NULL},
	{"{{eq \"a\" 1}}", NULL, ":1:2: executing \"\" at <eq \"a\" 1>: error calling eq: incompatible types for comparison"},
	{"{{eq nil nil}}", "true", NULL},
	{"{{eq .State nil}}", "false", NULL},
	{"{{lt \"a\" \"b\"}} {{lt 1 2}} {{lt 1.5 2.5}}", "true true true", NULL},
	{"{{lt true false}}", NULL, ":1:2: executing \"\" at <lt true false>: error calling lt: invalid type for comparison"},
	{"{{lt .Args .Args}}", NULL, ":1:2: executing \"\" at <lt .Args .Args>: error calling lt: invalid type for comparison"},
	{"{{eq 1}}", NULL, ":1:2: executing \"\" at <eq 1>: error calling eq: missing argument for comparison"},
	{"{{and}}", NULL, ":1:2: executing \"\" at <and>: wrong number of args for and: want at least 1 got 0"},
	{"{{and 1 0 2}} {{or 0 \"\" 3}} {{or 0 \"\"}} {{not 1}} {{not \"\"}}", "0 3  false true", NULL},
	{"{{and 0 .Nope}}", "0", NULL},
	{"{{or 1 (index .Args 9)}}", "1", NULL},
	{"{{html .Config.Hostname}} {{js .Config.Hostname}} {{urlquery .Config.Hostname}}", "&lt;a&gt;&amp;&#39;&#34; \\u003Ca\\u003E\\u0026\\'\\\" %3Ca%3E%26%27%22", NULL},
	{"{{html \"<a>\" \"b\"}} {{urlquery \"a b\" \"c&d\"}} {{js \"a\\nb=c\"}}", "&lt;a&gt;b a+bc%26d a\\u000Ab\\u003Dc", NULL},
	{"{{html nil}}", "&lt;no value&gt;", NULL},
	{"{{print 1 2}} {{print \"a\" \"b\"}} {{print 1 \"a\"}} {{print \"a\" 1}} {{print}} {{print true false}}", "1 2 ab 1a a1  true false", NULL},
	{"{{println 1 \"a\"}}x", "1 a\nx", NULL},
	{"{{printf \"%d %5d|%-5d|%05d %+d %x %X %o %b %c %U %q\" 42 42 42 42 42 255 255 8 5 65 65 65}}", "42    42|42   |00042 +42 ff FF 10 101 A U+0041 'A'", NULL},
	{"{{printf \"%s %10s|%-10s|%.2s %q %x %X\" \"ab\" \"ab\" \"ab\" \"abcdef\" \"a\\\"b\" \"hi\" \"hi\"}}", "ab         ab|ab        |ab \"a\\\"b\" 6869 6869", NULL},
	{"{{printf \"%f %.2f %8.3f %e %g %G\" 1.5 1.255 3.14159 12345.678 1e21 0.0001}}", "1.500000 1.25    3.142 1.234568e+04 1e+21 0.0001", NULL},
	{"{{printf \"%t %v\" true false}} {{printf \"%5t|%-7t|\" true false}}", "true false  true|false  |", NULL},
	{"{{printf \"%d %d\" 1}} {{printf \"%d\" 1 2}} {{printf \"%\"}} {{printf \"%z\" 1}} {{printf \"%!\" 1}}", "1 %!d(MISSING) 1%!(EXTRA int=2) %!(NOVERB) %!z(int=1) %!!(int=1)", NULL},
	{"{{printf \"%*d|%-*d|\" 5 42 5 42}} {{printf \"%[2]d %[1]d\" 1 2}} {{printf \"%.*f\" 2 3.14159}}", "   42|42   | 2 1 3.14", NULL},
	{"{{printf \"%s\" nil}} {{printf \"%v\" nil}} {{printf \"%d\" nil}}", "%!s(<nil>) <nil> %!d(<nil>)", NULL},
	{"{{printf \"%s %v %q %d\" .Args .Args .Args .Args}}", "[a b c] [a b c] [\"a\" \"b\" \"c\"] [%!d(string=a) %!d(string=b) %!d(string=c)]", NULL},
	{"{{printf \"%v %s %d\" .Config.Labels .Config.Labels .Config.Labels}}", "map[com.x:1 maintainer:me] map[com.x:1 maintainer:me] map[%!d(string=com.x):%!d(string=1) %!d(string=maintainer):%!d(string=me)]", NULL},
	{"{{printf \"%6.2f|%-8.2f|%08.3f|%+.1f\" 1.5 1.5 1.5 1.5}}", "  1.50|1.50    |0001.500|+1.5", NULL},
	{"{{printf \"%5s|%-5s|%05s\" \"é\" \"é\" \"é\"}}", "    é|é    |0000é", NULL},
	{"{{printf \"% d|% x|%#x|%#o|%#q\" 5 \"hi\" 255 8 \"a`b\"}}", " 5|68 69|0xff|010|\"a`b\"", NULL},
	{"{{printf \"%5%|%%\"}}", "%|%", NULL},
	{"{{printf}}", NULL, ":1:2: executing \"\" at <printf>: wrong number of args for printf: want at least 1 got 0"},
	{"{{json .State.Pid}} {{json .Args}} {{json .Config.Labels}} {{json \"<a>\"}} {{json nil}} {{json 1.5}} {{json 1e21}}", "7 [\"a\",\"b\",\"c\"] {\"com.x\":\"1\",\"maintainer\":\"me\"} \"<a>\" null 1.5 1e+21", NULL},
	{"{{json .Config.Hostname}}", "\"<a>&'\\\"\"", NULL},
	{"{{split \"a,b,c\" \",\"}} {{split \"abc\" \"\"}} {{split \"\" \",\"}}", "[a b c] [a b c] []", NULL},
	{"{{join .Args \",\"}} {{join (split \"a b\" \" \") \"+\"}}", "a,b,c a+b", NULL},
	{"{{join nil \",\"}}", "", NULL},
	{"{{title \"hello wORLD é-x a_b\"}} {{lower \"ÄÖ\"}} {{upper \"äöß\"}} {{title .Config.Image}}", "Hello WORLD É-X A_b äö ÄÖß ÄÖü X", NULL},
	{"{{pad \"a\" 1 2}}| {{pad \"\" 1 2}}|", " a  | |", NULL},
	{"{{pad \"a\" -1 2}}|", NULL, ":1:2: executing \"\" at <pad \"a\" -1 2>: error calling pad: strings: negative Repeat count"},
	{"{{truncate \"abcdef\" 3}} {{truncate \"éèê\" 2}} {{truncate \"ab\" 5}}", "abc é ab", NULL},
	{"{{\"a\" | printf \"%s-%s\" \"b\"}}", "b-a", NULL},
	{"{{.Args | len | printf \"%03d\"}}", "003", NULL},
	{"{{\"x\" | \"y\"}}", NULL, ":1: non executable command in pipeline stage 2"},
	{"{{1 | .Name}}", NULL, ":1:6: executing \"\" at <.Name>: Name is not a method but has arguments"},
	{"{{.Name \"x\"}}", NULL, ":1:2: executing \"\" at <.Name>: Name is not a method but has arguments"},
	{"{{(index .Mounts 0).Source}}", "/a", NULL},
	{"{{(.State).Pid}}", "7", NULL},
	{"{{(printf \"%s\" \"a\")}} {{(1)}}", "a 1", NULL},
	{"{{with .State}}{{.Pid}}{{end}} {{with $y := .State}}{{$y.Pid}}{{$.Name}}{{end}}", "7 7/www", NULL},
	{"{{with .Config.User}}x{{else}}y{{end}} {{with .Config.User}}x{{else with .Name}}{{.}}{{end}}", "y /www", NULL},
	{"{{if .Config.User}}a{{else if .Name}}b{{else}}c{{end}}", "b", NULL},
	{"{{if}}x{{end}}", NULL, ":1: missing value for if"},
	{"{{if .Name}}x", NULL, ":1: unexpected EOF"},
	{"{{end}}", NULL, ":1: unexpected {{end}}"},
	{"{{else}}", NULL, ":1: unexpected {{else}}"},
	{"{{.Name", NULL, ":1: unclosed action"},
	{"{{}}", NULL, ":1: missing value for command"},
	{"{{ }}", NULL, ":1: missing value for command"},
	{"{{/* c */}}x", "x", NULL},
	{"{{/* c */ }}x", NULL, ":1: comment ends before closing delimiter"},
	{"{{/*c", NULL, ":1: unclosed comment"},
	{"{{- /* c */ -}} x", "x", NULL},
	{"a {{- 3 -}} b", "a3b", NULL},
	{"a {{-3}} b", "a -3 b", NULL},
	{"{{| .Name}}", NULL, ":1: unexpected \"|\" in command"},
	{"{{(.Name}}", NULL, ":1: unclosed left paren"},
	{"{{.Name)}}", NULL, ":1: unexpected right paren"},
	{"{{)}}", NULL, ":1: unexpected right paren"},
	{"{{\"a}}", NULL, ":1: unterminated quoted string"},
	{"{{`a}}", NULL, ":1: unterminated raw quoted string"},
	{"{{'a}}", NULL, ":1: unterminated character constant"},
	{"{{'ab'}}", NULL, ":1: malformed character constant: 'ab'"},
	{"{{@}}", NULL, ":1: unexpected \"@\" in command"},
	{"{{nosuch 1}}", NULL, ":1: function \"nosuch\" not defined"},
	{"{{.Name nosuch}}", NULL, ":1: function \"nosuch\" not defined"},
	{"{{$x}}", NULL, ":1: undefined variable \"$x\""},
	{"{{$x := 1}}{{$x}}", "1", NULL},
	{"{{$x, $y := .Args}}", NULL, ":1: too many declarations in command"},
	{"{{if .Name}}{{$z := 1}}{{end}}{{$z}}", NULL, ":1: undefined variable \"$z\""},
	{"{{define \"T\"}}<{{.}}>{{end}}{{template \"T\" .Name}}", "</www>", NULL},
	{"{{block \"B\" .Name}}[{{.}}]{{end}}", "[/www]", NULL},
	{"{{template \"nope\"}}", NULL, ":1:11: executing \"\" at <{{template \"nope\"}}>: template \"nope\" not defined"},
	{"{{template \"nope\" .}}", NULL, ":1:11: executing \"\" at <{{template \"nope\" .}}>: template \"nope\" not defined"},
	{"{{define \"x\"}}", NULL, ":1: unexpected EOF"},
	{"{{.Name.}}", NULL, ":1: unexpected <.> in operand"},
	{"{{..Name}}", NULL, ":1: unexpected . after term \".\""},
	{"{{. Name}}", NULL, ":1: function \"Name\" not defined"},
	{"{{.Name.X.}}", NULL, ":1: unexpected <.> in operand"},
	{"{{.1}}", "0.1", NULL},
	{"{{$.Name}}", "/www", NULL},
	{"{{true}} {{false}} {{not true}}", "true false false", NULL},
	{"{{true.X}}", NULL, ":1: unexpected . after term \"true\""},
	{"{{nil.X}}", NULL, ":1: unexpected . after term \"nil\""},
	{"{{1.X}}", NULL, ":1: bad number syntax: \"1.X\""},
	{"{{if eq .State.Status \"running\" | not}}a{{else}}b{{end}}", "b", NULL},
	{"{{if and (eq .State.Status \"running\") (gt .RestartCount 3)}}yes{{end}}", "yes", NULL},
	{"{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "com.x=1 maintainer=me ", NULL},
	{"{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{(index $conf 0).HostPort}} {{end}}", NULL, ":1:58: executing \"\" at <index $conf 0>: error calling index: index of untyped nil"},
	{"{{range $p, $conf := .NetworkSettings.Ports}}{{$p}}{{range $conf}}{{.HostIp}}:{{.HostPort}}{{end}},{{end}}", "53/udp,80/tcp0.0.0.0:8080,", NULL},
	{"{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080", NULL},
	{"{{range .Name}}{{end}}", NULL, ":1:8: executing \"\" at <.Name>: range can't iterate over /www"},
	{"{{range $i, $c := \"ab\"}}{{$i}}{{end}}", NULL, ":1:18: executing \"\" at <\"ab\">: range can't iterate over ab"},
	{"{{range .State}}{{end}}", "", NULL},
	{"{{range 1.5}}{{end}}", NULL, ":1:8: executing \"\" at <1.5>: range can't iterate over 1.5"},
	{"{{len (print 1 2 3)}}", "5", NULL},
	{"{{if .Name}}{{else}}{{else}}{{end}}", NULL, ":1: expected end; found {{else}}"},
	{"{{range .Args}}{{end}}{{end}}", NULL, ":1: unexpected {{end}}"},
	{"{{ .Name", NULL, ":1: unclosed action"},
	{"}}", "}}", NULL},
	{"{{template 1}}", NULL, ":1: unexpected \"1\" in template clause"},
	{"{{.Name|printf \"%s\"|len}}", "4", NULL},
	{"{{println}}", "\n", NULL},
	{"{{eq .RestartCount 42}} {{eq .HostConfig.Memory 8589934592}} {{.HostConfig.Memory}}", "true true 8589934592", NULL},
	{"{{.NetworkSettings.Ports}}", "map[53/udp:[] 80/tcp:[{0.0.0.0 8080}]]", NULL},
	{"{{.HostConfig.RestartPolicy}}", "{ 0}", NULL},
	{"{{.State.Health}}", "<nil>", NULL},
	{"{{if .State.Health}}x{{else}}n{{end}}", "n", NULL},
	{"{{.State.Health.Status}}", NULL, ":1:8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\""},
	{"{{.Created}}", "", NULL},
	{"{{.ExecIDs}}", "[]", NULL},
	{"{{json .State.Health}}", "null", NULL},
	{"{{.Config.Env}}", "[A=1 B=é]", NULL},
	{"{{index .Config.Env 0}}", "A=1", NULL},
	{"{{range index .Config.Env}}{{.}} {{end}}", "A=1 B=é ", NULL},
	{"{{.Id | truncate}}", NULL, ":1:8: executing \"\" at <truncate>: wrong number of args for truncate: want 2 got 1"},
	{"{{truncate .Id 2 | upper}}", "AA", NULL},
	{"{{- .Name -}}", "/www", NULL},
	{"{{3 -}} x {{- 4}}", "3x4", NULL},
	{"{{.Name -}}", "/www", NULL},
	{"{{\"\\q\"}}", NULL, ":1: invalid syntax"},
	{"{{\"\\x4\"}}", NULL, ":1: invalid syntax"},
	{"{{\"\\u00e9\\U0001F600\\0\"}}", NULL, ":1: invalid syntax"},
	{"{{\"a", NULL, ":1: unterminated quoted string"},
	{"b\"}}", "b\"}}", NULL},
	{"{{'\\''}}{{'\"'}}", "3934", NULL},
	{"{{printf \"%q\" 'a'}} {{printf \"%c%c\" 233 0x1F600}}", "'a' é😀", NULL},
	{"{{printf \"%v|%v\" .State.Health .HostConfig.Binds}}", "<nil>|[]", NULL},
	{"{{printf \"%-010d|%+5d|% 5d|%x|%#X\" 5 5 5 -255 255}}", "5         |   +5|    5|-ff|0XFF", NULL},
	{"{{printf \"%6.3d|%.0f|%5.1f%%\" 5 2.5 99.95}}", "   005|2|100.0%", NULL},
	{"{{printf \"%.3s|%.10s|%5.1s\" \"éèê\" \"ab\" \"xyz\"}}", "éèê|ab|    x", NULL},
	{"{{printf \"%[3]d\" 1 2}} {{printf \"%[x]d\" 1}} {{printf \"%*d\" \"a\" 1}}", "%!d(BADINDEX) %!d(BADINDEX) %!(BADWIDTH)1", NULL},
	{"{{printf \"%-*d|\" -5 42}} {{printf \"%.2d\" 1}} {{printf \"%d\" true}}", "42   | 01 %!d(bool=true)", NULL},
	{"{{printf \"%U %#U\" 233 233}} {{printf \"%o %O\" 8 8}} {{printf \"%p\" 1}}", "U+00E9 U+00E9 'é' 10 0o10 %!p(int=1)", NULL},
	{"{{join .HostConfig.Binds \",\"}} {{range .HostConfig.Binds}}x{{else}}e{{end}} {{len .HostConfig.Binds}} {{json .HostConfig.Binds}}", " e 0 null", NULL},
	{"{{index .HostConfig.Binds 0}}", NULL, ":1:2: executing \"\" at <index .HostConfig.Binds 0>: error calling index: index of untyped nil"},
	{"{{and .State .Name}}", "/www", NULL},
	{"{{not nil}}", "true", NULL},
	{"{{if nil}}x{{end}}", NULL, ":1:5: executing \"\" at <nil>: nil is not a command"},
	{"{{with $x := .Name}}{{$x = \"y\"}}{{$x}}{{end}}", "y", NULL},
	{"{{$a := 1}}{{$b := 2}}{{range .Args}}{{$a = .}}{{end}}{{$a}}{{$b}}", "c2", NULL},
	{"{{index .NetworkSettings.Ports \"80/tcp\" 0 \"HostPort\"}}", "8080", NULL},
	{"{{(index .NetworkSettings.Ports \"9/tcp\")}}", "<no value>", NULL},
	{"{{with index .NetworkSettings.Ports \"9/tcp\"}}x{{else}}none{{end}}", "none", NULL},
	{"{{with (index .NetworkSettings.Ports \"80/tcp\")}}{{(index . 0).HostPort}}{{end}}", "8080", NULL},
	{"{{.Name | lower | upper}}", "/WWW", NULL},
	{"{{ .Name|upper }}", "/WWW", NULL},
	{"{{if not .State.Paused}}ok{{end}}", "ok", NULL},
	{"{{if eq .Name \"/www\" \"/x\"}}ok{{end}}", "ok", NULL},
	{"{{len \"x\" | eq 1}}", "true", NULL},
	{"{{eq (len .Args) 3}}", "true", NULL},
	{"{{template \"x\" . }}{{define \"x\"}}{{.Name}}{{end}}", "/www", NULL},
	{"{{define \"x\"}}a{{end}}{{define \"x\"}}b{{end}}{{template \"x\"}}", NULL, ":1: template: multiple definition of template \"x\""},
	{"{{block \"x\" .}}{{end}}", "", NULL},
	{"{{define 1}}{{end}}", NULL, ":1: unexpected \"1\" in define clause"},
	{"{{.Config.Labels.com.x}}", "<no value>", NULL},
	{"{{.Config.Labels | json | printf \"%s\"}}", "{\"com.x\":\"1\",\"maintainer\":\"me\"}", NULL},
	{"{{range $i, $e := .Mounts}}{{if $i}}, {{end}}{{$e.Source}}{{end}}", "/a, /b", NULL},
	{"{{range .Mounts}}{{$.Name}}{{.Source}}{{end}}", "/www/a/www/b", NULL},
	{"{{else if .Name}}", NULL, ":1: unexpected {{else}}"},
	{"{{if .Name}}a{{else if}}b{{end}}", NULL, ":1: missing value for if"},
	{"{{with .Name}}{{break}}{{end}}", NULL, ":1: {{break}} outside {{range}}"},
	{"{{range .Args}}{{with .}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}{{end}}", "a", NULL},
	{"{{.Name}}{{", NULL, ":1: unclosed action"},
	{"{{ \"x\" -}} y", "xy", NULL},
	{"{{`multi", NULL, ":1: unterminated raw quoted string"},
	{"line`}}", "line`}}", NULL},
	{"{{1 2}}", NULL, ":1:2: executing \"\" at <1>: can't give argument to non-function 1"},
	{"{{\"a\" \"b\"}}", NULL, ":1:2: executing \"\" at <\"a\">: can't give argument to non-function \"a\""},
	{"{{nil | print}}", NULL, ":1:2: executing \"\" at <nil>: nil is not a command"},
	{"{{(nil)}}", NULL, ":1:3: executing \"\" at <nil>: nil is not a command"},
	{"{{print (nil)}}", NULL, ":1:9: executing \"\" at <nil>: nil is not a command"},
	{"{{(.Nope)}}", NULL, ":1:3: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
	{"{{template}}", NULL, ":1: unexpected \"}}\" in template clause"},
	{"{{range}}{{end}}", NULL, ":1: missing value for range"},
	{"{{with}}{{end}}", NULL, ":1: missing value for with"},
	{"{{range $i, $e, $f := .Args}}{{end}}", NULL, ":1: too many declarations in range"},
	{"{{if $x := .Name}}{{$x}}{{else}}{{$x}}{{end}}", "/www", NULL},
	{"{{()}}", NULL, ":1: missing value for parenthesized pipeline"},
	{"{{.}}{{.Name .Id}}", NULL, ":1:7: executing \"\" at <.Name>: Name is not a method but has arguments"},
	{"{{.Config.OpenStdin}} {{.Config.Domainname}}x", "false x", NULL},
	{"{{split .Name \"/\"}} {{index (split .Name \"/\") 1}}", "[ www] www", NULL},
	{"{{slice .Id 0 2}}", "aa", NULL},
	{"{{.State.ExitCode}}{{print .State.ExitCode .State.Pid}}", "00 7", NULL},
	{"{{print .Name .Id}} {{print .State.Pid \"x\" .Name}}", "/wwwaaaa 7x/www", NULL},
	{"{{print true 1 \"x\" 2 nil}}", "true 1x2 <nil>", NULL},
	{"{{html .State.Pid true}} {{urlquery 1 2}} {{js 1}}", "7 true 1+2 1", NULL},
	{"{{json}}", NULL, ":1:2: executing \"\" at <json>: wrong number of args for json: want 1 got 0"},
	{"{{not}}", NULL, ":1:2: executing \"\" at <not>: wrong number of args for not: want 1 got 0"},
	{"{{index}}", NULL, ":1:2: executing \"\" at <index>: wrong number of args for index: want at least 1 got 0"},
	{"{{len}}", NULL, ":1:2: executing \"\" at <len>: wrong number of args for len: want 1 got 0"},
	{"{{slice}}", NULL, ":1:2: executing \"\" at <slice>: wrong number of args for slice: want at least 1 got 0"},
	{"{{le \"a\" \"a\"}}{{ge 3 2}}", "truetrue", NULL},
	{"{{eq .State.Running true}}{{eq true 1}}", NULL, ":1:28: executing \"\" at <eq true 1>: error calling eq: incompatible types for comparison"},
	{"{{eq .Name .Args}}", NULL, ":1:2: executing \"\" at <eq .Name .Args>: error calling eq: incompatible types for comparison"},
	{"{{ne \"a\" \"b\"}}{{ne nil 1}}", "truetrue", NULL},
	{"{{lt nil 1}}", NULL, ":1:2: executing \"\" at <lt nil 1>: error calling lt: invalid type for comparison"},
};
/* clang-format on */

static int run(const char *text, const cJSON *json, struct str *output,
	       struct error *err)
{
	cleanup_template struct template *template = NULL;
	int r = template_parse(text, &template, err);

	return r < 0 ? r : template_execute(template, json, NULL, output, err);
}

static void test_as_docker(void **state)
{
	cleanup_json cJSON *json = NULL;

	assert_int_equal(json_parse(container, strlen(container), "container",
				    &json, NULL),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		cleanup_str struct str output = {0};
		struct error err = {0};
		int r = run(row->template, json, &output, &err);

		if (row->output && r < 0)
			fail_msg("%s: %s", row->template, err.message);
		if (row->output && strcmp(str_text(&output), row->output) != 0)
			fail_msg("%s: \"%s\"", row->template,
				 str_text(&output));
		if (row->output)
			continue;
		if (r >= 0)
			fail_msg("%s: accepted, \"%s\"", row->template,
				 str_text(&output));
		if (!str_starts(err.message, PREFIX) ||
		    strcmp(err.message + strlen(PREFIX), row->error) != 0)
			fail_msg("%s: %s", row->template, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_docker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
