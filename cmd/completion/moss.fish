# fish completion for moss: made by `moss completion fish` from moss's own
# tables.

# Is the command being typed one of these? ("run", "container run")
function __moss_at
	set -l typed (commandline -opc)
	set -e typed[1]
	for line in $argv
		set -l length (count (string split ' ' -- $line))
		if test (count $typed) -ge $length; and test "$typed[1..$length]" = "$line"
			return 0
		end
	end
	return 1
end

# No command yet.
function __moss_at_top
	test (count (commandline -opc)) -eq 1
end

# A group, and nothing behind it yet.
function __moss_at_group
	set -l typed (commandline -opc)
	test (count $typed) -eq 2; and test "$typed[2]" = "$argv[1]"
end

complete -c moss -f
complete -c moss -n __moss_at_top -l help -d 'Print usage'
complete -c moss -n __moss_at_top -s v -l version -d 'Print version information and quit'
@TOP@
@SUBCOMMANDS@
@COMMANDS@
