# --- Existing resources ----------------------------------------------------------------------------------------------

# Prints all lines except this one. An empty result is valid; a file that cannot be read is an error.
lines_but() { grep -Fvx -e "$1" -- "$2" || (($? == 1)); }

# Requests a list of single values from AWS and writes it to a file, one per line.
ask_list() {
  local file=$1
  shift
  ask_aws "$@" --output text >"$WORK/list"
  lines_but None "$WORK/list" >"$file"
}

# Sets OUTPUT to an output of the environment's stack.
find_output() {
  local status=0
  OUTPUT=$(try_aws cloudformation describe-stacks --stack-name "$STACK" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]" --output text) || status=$?
  if ((status != 0)); then
    error_says 'does not exist' || explain cloudformation describe-stacks
    fail "there is no stack $STACK" 'deploy the environment first: deploy.sh'
  fi
  [[ $OUTPUT != None ]] || fail "stack $STACK has no output $1" 'deploy the environment as it is now: deploy.sh'
}
