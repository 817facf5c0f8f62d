readonly ATTEMPTS_MAX=8
readonly BACKOFF_MAX_MS=20000
readonly BACKOFF_MS=${FLEETFORM_BACKOFF_MS:-500}
readonly COLUMN=$'\037'
readonly THROTTLED='Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|ProvisionedThroughputExceeded|Rate exceeded'

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
plan() { printf 'would %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  if (($# > 0)); then printf '  %s\n' "$@" >&2; fi
  exit 1
}

misused() {
  printf 'error: %s\n\n' "$1" >&2
  usage >&2
  exit 2
}

# --- Calls -----------------------------------------------------------------------------------------------------------

# Waits a random time below a limit that doubles with each attempt.
back_off() {
  local limit=$((BACKOFF_MS * (1 << ($1 - 1))))
  if ((limit > BACKOFF_MAX_MS)); then limit=$BACKOFF_MAX_MS; fi
  local wait=$((RANDOM % (limit + 1)))
  note "AWS asks to slow down: attempt $1 of $ATTEMPTS_MAX follows in $wait ms"
  sleep "$((wait / 1000)).$(printf '%03d' $((wait % 1000)))"
}

# Runs one AWS command. Its error output is in $WORK/error.
try_aws() {
  local attempt=0 status
  while :; do
    status=0
    aws "$@" --region "$REGION" >"$WORK/answer" 2>"$WORK/error" || status=$?
    if ((status == 0)); then
      cat -- "$WORK/answer"
      return 0
    fi
    attempt=$((attempt + 1))
    if ((attempt > ATTEMPTS_MAX)) || ! grep -Eq -e "$THROTTLED" -- "$WORK/error"; then return "$status"; fi
    back_off "$attempt"
  done
}

explain() { fail "\`aws $1 $2\` failed" "$(cat -- "$WORK/error")"; }

# Sends a read request to AWS. Ends the run if it fails.
ask_aws() { try_aws "$@" || explain "$@"; }

# Sends a request that changes something. Must not be reached in a dry run.
change_aws() {
  if ((DRY_RUN)); then fail "\`aws $1 $2\` was about to run in a dry run"; fi
  try_aws "$@" || explain "$@"
}

# Like change_aws, but leaves it to the caller to handle the error in $WORK/error.
try_change_aws() {
  if ((DRY_RUN)); then fail "\`aws $1 $2\` was about to run in a dry run"; fi
  try_aws "$@"
}

# Requests rows from AWS, for `IFS=$COLUMN read`. Tabs cannot separate the columns, because a column may be empty and
# bash treats consecutive tabs as one.
ask_rows() { ask_aws "$@" --output text >"$WORK/rows" && tr '\t' "$COLUMN" <"$WORK/rows"; }

error_says() { grep -Eq -e "$1" -- "$WORK/error"; }

sha256_of() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi <"$1" | cut -d ' ' -f 1
}

check_tools() {
  command -v aws >/dev/null 2>&1 || fail 'the AWS CLI is not installed' 'pip install awscli'
  command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 || fail 'neither sha256sum nor shasum is installed'
  local version major minor
  version=$(aws --version 2>&1 | sed -n 's|^aws-cli/\([0-9]*\.[0-9]*\).*|\1|p')
  [[ -n $version ]] || fail 'the version of the AWS CLI cannot be read'
  major=${version%%.*} minor=${version##*.}
  # Older versions cannot create an object on the condition that it does not exist.
  if ((major < 1 || (major == 1 && minor < 35) || (major == 2 && minor < 18))); then
    fail "the AWS CLI $version is too old" 'version 1.35 or 2.18 is needed: pip install --upgrade awscli'
  fi
}

check_account() {
  local account
  account=$(ask_aws sts get-caller-identity --query Account --output text)
  [[ $account == "$ACCOUNT" ]] ||
    fail "these credentials belong to account $account, and $ENVIRONMENT lies in $ACCOUNT" "take credentials of account $ACCOUNT, or change environments.$ENVIRONMENT.account"
}

check_region() {
  local configured place
  configured=$(aws configure get region 2>/dev/null || true)
  for place in "AWS_REGION=${AWS_REGION:-}" "AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-}" "the profile's region=$configured"; do
    if [[ -n ${place#*=} && ${place#*=} != "$REGION" ]]; then
      # The environment takes precedence over the profile.
      if [[ $place == the* && ${AWS_REGION:-${AWS_DEFAULT_REGION:-}} == "$REGION" ]]; then continue; fi
      fail "${place%%=*} is ${place#*=}, and $ENVIRONMENT lies in $REGION" "set AWS_REGION=$REGION if that is meant"
    fi
  done
}
