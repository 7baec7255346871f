# fish completion for moss: made by `moss completion fish` from moss's own
# tables.

# The words so far, without the program and the options before the command.
function __moss_typed
	set -l typed (commandline -opc)
	set -e typed[1]
	while set -q typed[1]; and string match -qr '^--config(=|$)' -- $typed[1]
		if set -q typed[2]; and test $typed[1] = --config
			set -e typed[2]
		end
		set -e typed[1]
	end
	set -q typed[1]; and printf '%s\n' $typed
end

# Is the command being typed one of these? ("run", "container run") How many
# words it has is kept for __moss_first.
function __moss_at
	set -l typed (__moss_typed)
	for line in $argv
		set -l length (count (string split ' ' -- $line))
		if test (count $typed) -ge $length; and test "$typed[1..$length]" = "$line"
			set -g __moss_length $length
			return 0
		end
	end
	return 1
end

# Of the command that was found: no operand yet. The arguments are its options
# that take a value; "-dp" takes one for its last letter.
function __moss_first
	set -l typed (__moss_typed)
	set -e typed[1..$__moss_length]
	while set -q typed[1]
		set -l word $typed[1]
		set -e typed[1]
		string match -qr '^-.' -- $word; or return 1
		if string match -qr '^-[^-]' -- $word
			set word -(string sub -s -1 -- $word)
		end
		if contains -- $word $argv
			set -e typed[1]
		end
	end
	return 0
end

# No command yet.
function __moss_at_top
	test (count (__moss_typed)) -eq 0
end

# A group, and nothing behind it yet.
function __moss_at_group
	set -l typed (__moss_typed)
	test (count $typed) -eq 1; and test "$typed[1]" = "$argv[1]"
end

complete -c moss -f
complete -c moss -n __moss_at_top -l config -d 'Directory of config.json' -xa '(__fish_complete_directories)'
complete -c moss -n __moss_at_top -l help -d 'Print usage'
complete -c moss -n __moss_at_top -s v -l version -d 'Print version information and quit'
@TOP@
@SUBCOMMANDS@
@COMMANDS@
