# --- Certificates ----------------------------------------------------------------------------------------------------

status_of() { ask_aws iot describe-certificate --certificate-id "${1##*/}" --query certificateDescription.status --output text; }

# A certificate that was taken away is not given back by chance: whoever took it had a reason.
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

# A private key that only its owner reads: made here, or found as it was.
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

# A request for a certificate of the key that is kept beside it. Its subject is for people only, and has room for 64
# characters of a name.
make_request() {
  local base=$1 name=$2
  ensure_key "$base.key"
  openssl req -new -key "$base.key" -subj "/CN=${name:0:64}" -out "$base.csr.new" 2>"$WORK/error" || fail 'openssl cannot make a request' "$(cat -- "$WORK/error")"
  mv -- "$base.csr.new" "$base.csr"
}

# Certificates that a stopped run made of this key and that nobody knows: they are deleted.
remove_orphans() {
  local base=$1 id
  if [[ -f $base.csr ]]; then
    openssl req -in "$base.csr" -noout -pubkey >"$WORK/public"
  elif [[ -f $base.key ]]; then
    # One that AWS made, and that came here before the run was stopped.
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

# Makes a certificate that is kept beside its key and is not active yet. Until it is, a file says that it is to be.
create_certificate() {
  local device=$1 base=$2 arn
  if [[ -f $base.crt && -f $base.arn ]]; then return; fi
  : >"$base.pending"
  if ((SERVER_KEYS)); then
    # A request that is here is of another key.
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

# Gives a certificate the policies of WANTED, and takes away what devices of another type have.
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

# Asks for something that AWS refuses for as long as a certificate is still being detached, which takes it some seconds.
once_detached() {
  local attempt=0
  until try_change_aws "$@" >/dev/null; do
    attempt=$((attempt + 1))
    if ((attempt > ATTEMPTS_MAX)) || ! error_says 'DeleteConflict|InvalidRequest|attached'; then explain "$@"; fi
    back_off "$attempt"
  done
}

# Finds out the state of a certificate and the authority of one's own that signed it: $WORK/certificate has both. False if
# there is no such certificate.
ask_certificate() {
  if try_aws iot describe-certificate --certificate-id "$1" --query '[certificateDescription.[status,caCertificateId]]' --output text >"$WORK/rows"; then
    tr '\t' "$COLUMN" <"$WORK/rows" >"$WORK/certificate"
  else
    error_says 'ResourceNotFoundException' || explain iot describe-certificate
    return 1
  fi
}

# Deletes a certificate for good.
delete_certificate() {
  local id=${1##*/} status authority
  if ! ask_certificate "$id"; then return; fi
  IFS=$COLUMN read -r status authority <"$WORK/certificate"
  # AWS IoT would register one of an authority of one's own once more when its holder connects: it is revoked and stays.
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
