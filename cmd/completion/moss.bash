# bash completion for moss                                 -*- shell-script -*-
# Made by `moss completion bash` from moss's own tables.

_moss_top='@TOP@'

# Sets words: the commands of a group.
_moss_subcommands() {
	words=''
	case $1 in
@SUBCOMMANDS@
	esac
}

# Of a command: sets options, valued (pairs OPTION:NAME of those that take a
# value), kind (of its operands) and repeated (whether of more than the first).
_moss_command() {
	case $1 in
@COMMANDS@
	*) return 1 ;;
	esac
}

_moss_offer() { # WORDS
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
	if [[ ${COMPREPLY-} == *[=:] ]]; then
		compopt -o nospace 2>/dev/null
	fi
}

_moss_offer_names() { # KIND
	_moss_offer "$(moss __complete "$1" 2>/dev/null)"
}

# The value of an option, by the name in its pair.
_moss_value() {
	local words=''
	case $1 in
	@FILES@) compopt -o default 2>/dev/null; return ;;
@VALUES@
	esac
	case $words in
	@*) _moss_offer_names "${words#@}" ;;
	*) _moss_offer "$words" ;;
	esac
}

# Sets name when the option takes a value; "-dp" takes one for its last letter.
_moss_takes_value() {
	local option=$1 pair
	name=
	[[ $option == -[!-]* ]] && option=-${option: -1}
	for pair in $valued; do
		if [[ ${pair%%:*} == "$option" ]]; then
			name=${pair#*:}
			return 0
		fi
	done
	return 1
}

_moss_operand() {
	case $kind in
	none) ;;
	file) compopt -o default 2>/dev/null ;;
	command) _moss_offer "$_moss_top" ;;
	shell) _moss_offer 'bash zsh fish' ;;
	*) _moss_offer_names "$kind" ;;
	esac
}

# Takes the options before the command out of typed; false when the word to be
# completed is a part of them.
_moss_globals() {
	while ((cword > 1)) && [[ ${typed[1]} == --config?(=*) ]]; do
		if [[ ${typed[1]} == *=* ]]; then
			typed=(moss "${typed[@]:2}") cword=$((cword - 1))
		elif ((cword == 2)); then
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
			return 1
		else
			typed=(moss "${typed[@]:3}") cword=$((cword - 2))
		fi
	done
	((cword > 1)) || [[ $cur != --config=* ]] || {
		mapfile -t COMPREPLY < <(compgen -d -- "${cur#*=}")
		return 1
	}
}

_moss() {
	local cur words cword typed line options valued kind repeated name
	local i prefix seen=0
	COMPREPLY=()
	# Whole words: bash's own end at "=" and ":".
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: -w typed -c cur -i cword
	else
		read -ra typed <<<"${COMP_LINE:0:COMP_POINT}"
		[[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || typed+=('')
		cword=$((${#typed[@]} - 1))
		cur=${typed[cword]}
	fi
	_moss_globals || return
	if ((cword == 1)); then
		_moss_offer "$_moss_top --config --help --version"
		return
	fi
	line=${typed[1]} i=2
	_moss_subcommands "$line"
	if [[ -n $words ]]; then
		if ((cword == 2)); then
			_moss_offer "$words --help"
			return
		fi
		line+=" ${typed[2]}" i=3
	fi
	_moss_command "$line" || return
	for (( ; i < cword; i++)); do
		case ${typed[i]} in
		-*=*) ;;
		-?*) ! _moss_takes_value "${typed[i]}" || ((++i)) ;;
		*)
			((++seen))
			# Behind IMAGE or CONTAINER the words are the command's.
			[[ $repeated != never ]] || return 0
			;;
		esac
	done
	if ((i > cword)); then
		_moss_value "$name"
	elif [[ $cur == --*=* ]]; then
		_moss_takes_value "${cur%%=*}"
		cur=${cur#*=}
		_moss_value "$name"
	elif [[ $cur == -* ]]; then
		_moss_offer "$options"
	elif ((seen == 0)) || [[ $repeated == yes ]]; then
		_moss_operand
	fi
	# bash replaces only what is behind the last colon.
	if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
		prefix=${cur%"${cur##*:}"}
		COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
	fi
}

complete -F _moss moss
