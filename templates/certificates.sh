# --- Certificates ----------------------------------------------------------------------------------------------------

status_of() { ask_aws iot describe-certificate --certificate-id "${1##*/}" --query certificateDescription.status --output text; }

# A certificate that was detached is not attached again by accident: there was a reason to detach it.
check_certificate() {
  local device=$1 base=$2 status
  if [[ ! -f $base.crt || ! -f $base.arn ]]; then return; fi
  status=$(try_aws iot describe-certificate --certificate-id "$(sed 's|.*/||' "$base.arn")" --query certificateDescription.status --output text) || {
    error_says ResourceNotFoundException || explain iot describe-certificate
    status=GONE
  }
  if [[ $status == ACTIVE || ($status == INACTIVE && -f $base.pending) ]]; then return; fi
  fail "the certificate of $device in $base.crt was taken away" \
    "delete $base.crt and $base.arn, and $base.key with $base.csr if the key may be known, and run this again for a new one"
}

# Ensures that there is a private key that only its owner can read: creates it, or checks the existing one.
ensure_key() {
  local key=$1 mode
  if [[ -e $key ]]; then
    mode=$(stat -c %a -- "$key" 2>/dev/null || stat -f %Lp -- "$key")
    [[ $mode == 600 || $mode == 400 ]] ||
      fail "$key can be read by others: its mode is $mode" "chmod 600 $key if nobody has read it, or delete it, and run this again for a new key"
    return
  fi
  openssl genpkey "${KEY_KIND[@]}" -out "$key.new" 2>"$WORK/error" || fail "openssl cannot make a key" "$(cat -- "$WORK/error")"
  mv -- "$key.new" "$key"
}

# Creates a certificate request for the key next to it. Its subject is for people only, and has room for 64 characters of
# a name.
make_request() {
  local base=$1 name=$2
  ensure_key "$base.key"
  openssl req -new -key "$base.key" -subj "/CN=${name:0:64}" -out "$base.csr.new" 2>"$WORK/error" || fail 'openssl cannot make a request' "$(cat -- "$WORK/error")"
  mv -- "$base.csr.new" "$base.csr"
}

# Deletes certificates that an interrupted run created for this key and did not record.
remove_orphans() {
  local base=$1 id
  if [[ -f $base.csr ]]; then
    openssl req -in "$base.csr" -noout -pubkey >"$WORK/public"
  elif [[ -f $base.key ]]; then
    # A key that AWS created and that was stored here before the run was interrupted.
    openssl pkey -in "$base.key" -pubout >"$WORK/public"
  else
    say 'a stopped run may have left an inactive certificate behind, of a key that AWS made and that never came here'
    return
  fi
  ask_list "$WORK/inactive" iot list-certificates --query "certificates[?status=='INACTIVE'].[certificateId]"
  while IFS= read -r id; do
    ask_aws iot describe-certificate --certificate-id "$id" --query certificateDescription.certificatePem --output text >"$WORK/pem"
    if openssl x509 -in "$WORK/pem" -noout -pubkey 2>/dev/null | cmp -s - "$WORK/public"; then
      change_aws iot delete-certificate --certificate-id "$id" --force-delete >/dev/null
      say "certificate $id, which a stopped run has left behind, is deleted"
    fi
  done <"$WORK/inactive"
}

# Creates a certificate next to its key. It is not active yet; until it is, a file marks it as pending.
create_certificate() {
  local device=$1 base=$2 arn
  if [[ -f $base.crt && -f $base.arn ]]; then return; fi
  : >"$base.pending"
  if ((SERVER_KEYS)); then
    # An existing request belongs to another key.
    rm -f -- "$base.csr"
    arn=$(change_aws iot create-keys-and-certificate --no-set-as-active --certificate-pem-outfile "$base.crt.new" \
      --private-key-outfile "$base.key.new" --query certificateArn --output text)
    mv -- "$base.key.new" "$base.key"
  else
    arn=$(change_aws iot create-certificate-from-csr --no-set-as-active --certificate-signing-request "file://$base.csr" \
      --certificate-pem-outfile "$base.crt.new" --query certificateArn --output text)
  fi
  printf '%s\n' "$arn" >"$base.arn.new"
  mv -- "$base.arn.new" "$base.arn"
  mv -- "$base.crt.new" "$base.crt"
  say "certificate ${arn##*/} of $device is created"
}

# Attaches the policies in WANTED to a certificate, and detaches those of other device types.
attach_policies() {
  local arn=$1 policy index
  ask_list "$WORK/attached" iot list-attached-policies --target "$arn" --query 'policies[].[policyName]'
  for policy in "${WANTED[@]}"; do
    if grep -Fqx -e "$policy" -- "$WORK/attached"; then continue; fi
    change_aws iot attach-policy --policy-name "$policy" --target "$arn" >/dev/null
  done
  for ((index = 1; index < ${#TYPE_POLICIES[@]}; index += 2)); do
    policy=${TYPE_POLICIES[index]}
    if [[ " ${WANTED[*]} " == *" $policy "* ]] || ! grep -Fqx -e "$policy" -- "$WORK/attached"; then continue; fi
    change_aws iot detach-policy --policy-name "$policy" --target "$arn" >/dev/null
  done
}

detach_policies() {
  local arn=$1 policy
  ask_list "$WORK/attached" iot list-attached-policies --target "$arn" --query 'policies[].[policyName]'
  while IFS= read -r policy; do
    change_aws iot detach-policy --policy-name "$policy" --target "$arn" >/dev/null
  done <"$WORK/attached"
}

make_active() {
  change_aws iot update-certificate --certificate-id "${2##*/}" --new-status ACTIVE >/dev/null
  say "certificate ${2##*/} of $1 is active"
}

# Retries a request that AWS rejects while a certificate is still being detached, which takes a few seconds.
once_detached() {
  local attempt=0
  until try_change_aws "$@" >/dev/null; do
    attempt=$((attempt + 1))
    if ((attempt > ATTEMPTS_MAX)) || ! error_says 'DeleteConflict|InvalidRequest|attached'; then explain "$@"; fi
    back_off "$attempt"
  done
}

# Writes the state of a certificate, and your own CA if it signed it, to $WORK/certificate. False if there is no such
# certificate.
ask_certificate() {
  if try_aws iot describe-certificate --certificate-id "$1" --query '[certificateDescription.[status,caCertificateId]]' --output text >"$WORK/rows"; then
    tr '\t' "$COLUMN" <"$WORK/rows" >"$WORK/certificate"
  else
    error_says 'ResourceNotFoundException' || explain iot describe-certificate
    return 1
  fi
}

# Deletes a certificate permanently.
delete_certificate() {
  local id=${1##*/} status authority
  if ! ask_certificate "$id"; then return; fi
  IFS=$COLUMN read -r status authority <"$WORK/certificate"
  # If your own CA signed it, AWS IoT would register it again when the device connects: revoke it and keep it.
  if [[ $authority != None ]]; then
    if [[ $status == REVOKED ]]; then return; fi
    if ((DRY_RUN)); then
      plan "revoke certificate $id"
    else
      change_aws iot update-certificate --certificate-id "$id" --new-status REVOKED >/dev/null
      say "certificate $id is revoked"
    fi
  elif ((DRY_RUN)); then
    plan "delete certificate $id"
  else
    change_aws iot update-certificate --certificate-id "$id" --new-status REVOKED >/dev/null
    once_detached iot delete-certificate --certificate-id "$id"
    say "certificate $id is deleted"
  fi
}
