# --- Once per account and region -------------------------------------------------------------------------------------

# Another platform may have deployed these settings, or somebody may have made them by hand: then they are left alone.
deploy_account() {
  local file=$HERE/cloudformation/account.yaml
  [[ -f $file ]] || fail 'cloudformation/account.yaml is missing' 'run: fleetform generate'
  ((!TABLES)) || [[ -f $HERE/cloudformation/catalog.yaml ]] || fail 'cloudformation/catalog.yaml is missing' 'run: fleetform generate'
  # First, since no environment that stores samples can be deployed without it.
  if ((TABLES)); then deploy_catalog; fi
  look_at "$ACCOUNT_STACK"
  case $STATUS in
    NONE | REVIEW_IN_PROGRESS | ROLLBACK_COMPLETE)
      look_for_settings "$file"
      if ((${#THERE[@]} > 0)); then
        leave_settings
        return
      fi
      ;;
  esac
  deploy_stack "$ACCOUNT_STACK" "$file" ''
  keep_log
}

deploy_catalog() {
  # The console makes the catalog too.
  look_at "$CATALOG_STACK"
  if [[ $STATUS == NONE ]]; then
    look_for_catalog
    if [[ $CATALOG == yes ]]; then
      say "account $ACCOUNT has the catalog s3tablescatalog in $REGION already"
      return
    fi
  fi
  deploy_stack "$CATALOG_STACK" "$HERE/cloudformation/catalog.yaml" ''
}

# Sets CATALOG to whether the account has the catalog of table buckets in this region: yes, no, or unknown to these credentials.
look_for_catalog() {
  CATALOG=yes
  if try_aws glue get-catalog --catalog-id s3tablescatalog --query Catalog.Name --output text >/dev/null; then return; fi
  CATALOG=unknown
  if error_says 'EntityNotFound'; then CATALOG=no; fi
}

# The delivery stream finds its table by that catalog, and is refused without. Whoever may not look is not stopped.
check_catalog() {
  if ! ((TABLES)); then return; fi
  look_for_catalog
  case $CATALOG in
    no) fail "account $ACCOUNT has no catalog s3tablescatalog in $REGION, by which samples find their table" 'run: deploy.sh --account' ;;
    unknown) note "whether account $ACCOUNT has the catalog s3tablescatalog could not be seen: $(cat -- "$WORK/error")" ;;
  esac
}

# Sets THERE to those settings of a template that the account has already, ENDED_BY to the commands that end them, and LACKING
# to the others. Credentials that may not look are no reason to stop.
look_for_settings() {
  THERE=() ENDED_BY=() LACKING=()
  # Logging that is turned off is set again by CloudFormation.
  look_for_setting 'AWS IoT logging' "aws iot set-v2-logging-options --region $REGION --disable-all-logs" \
    get-v2-logging-options --query '[roleArn,disableAllLogs]'
  if grep -Fq AWS::IoT::AccountAuditConfiguration -- "$1"; then
    look_for_setting 'an audit of AWS IoT Device Defender' "aws iot delete-account-audit-configuration --region $REGION" \
      describe-account-audit-configuration --query '[roleArn]'
  fi
}

look_for_setting() {
  local what=$1 ended_by=$2 line role is_off
  shift 2
  if line=$(try_aws iot "$@" --output text); then
    read -r role is_off <<<"$line"
    if [[ $role != None && $is_off != True ]]; then
      THERE+=("$what, by the role $role") ENDED_BY+=("$ended_by")
      return
    fi
  elif ! error_says NotConfigured; then
    note "whether account $ACCOUNT has $what could not be seen: $(cat -- "$WORK/error")"
  fi
  LACKING+=("$what")
}

# CloudFormation neither takes over what is there nor creates it a second time.
leave_settings() {
  local one
  for one in "${THERE[@]}"; do say "account $ACCOUNT has $one in $REGION already"; done
  if ((${#LACKING[@]} == 0)); then
    say "stack $ACCOUNT_STACK is not needed, and not deployed"
    return
  fi
  fail "stack $ACCOUNT_STACK cannot be created beside that, and account $ACCOUNT still lacks ${LACKING[0]}" \
    'environments can be deployed without this stack' 'to have it created, end what is there, and run this script again:' "${ENDED_BY[@]}"
}

# AWS IoT creates its log group by itself, and lets it grow for ever. Where several environments share it, the longest
# retention wins.
keep_log() {
  local line name days
  line=$(ask_aws logs describe-log-groups --log-group-name-prefix "$IOT_LOG_GROUP" \
    --query "logGroups[?logGroupName=='$IOT_LOG_GROUP'].[logGroupName,retentionInDays]" --output text)
  read -r name days <<<"$line"
  if [[ $name == "$IOT_LOG_GROUP" && $days =~ ^[0-9]+$ ]] && ((days >= LOG_DAYS)); then return; fi
  if ((DRY_RUN)); then
    plan "keep log group $IOT_LOG_GROUP for $LOG_DAYS days"
    return
  fi
  if [[ $name != "$IOT_LOG_GROUP" ]] && ! try_change_aws logs create-log-group --log-group-name "$IOT_LOG_GROUP" >/dev/null; then
    # AWS IoT was faster.
    error_says ResourceAlreadyExists || explain logs create-log-group
  fi
  change_aws logs put-retention-policy --log-group-name "$IOT_LOG_GROUP" --retention-in-days "$LOG_DAYS" >/dev/null
  say "log group $IOT_LOG_GROUP is kept for $LOG_DAYS days"
}
