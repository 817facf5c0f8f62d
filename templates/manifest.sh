# --- Requested devices -----------------------------------------------------------------------------------------------

readonly DEVICE_ID='^[a-zA-Z0-9:_][a-zA-Z0-9:_-]{0,127}$'

# Prints the name for an id in a list of pairs; nothing if the list does not contain the id.
named() {
  local id=$1
  shift
  while (($# > 0)); do
    if [[ $1 == "$id" ]]; then
      printf '%s' "$2"
      return
    fi
    shift 2
  done
}

ids_of() {
  local ids=
  while (($# > 0)); do
    ids+="${ids:+, }$1"
    shift 2
  done
  printf '%s' "$ids"
}

# Prints what is wrong with a requested device; nothing if it is valid.
problem_with() {
  local device=$1 type=$2 zone=$3 attributes=$4 csr=$5 pair name seen=,
  if [[ ! $device =~ $DEVICE_ID ]]; then
    printf 'a device id has 1 to 128 letters, digits, :, _ or -, and does not begin with -'
  elif [[ -z $(named "$type" "${TYPES[@]}") ]]; then
    printf "there is no device type \`%s\`; there are %s" "$type" "$(ids_of "${TYPES[@]}")"
  elif [[ -z $(named "$zone" "${ZONES[@]}") ]]; then
    printf "there is no zone \`%s\`; there are %s" "$zone" "$(ids_of "${ZONES[@]}")"
  elif [[ -n $csr && ! -f $csr ]]; then
    printf 'there is no file %s' "$csr"
  elif [[ -n $csr ]] && ! openssl req -in "$csr" -noout -verify >/dev/null 2>&1; then
    printf '%s is no certificate signing request with a valid signature' "$csr"
  else
    while IFS= read -r pair; do
      if [[ -z $pair ]]; then continue; fi
      name=${pair%%=*}
      if [[ ! $pair =~ ^[a-z][a-z0-9_]*=-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$ ]]; then
        printf "\`%s\` is not written as NAME=NUMBER" "$pair" && return
      elif [[ " ${ATTRIBUTES[*]-} " != *" $type/$name "* ]]; then
        printf "device type \`%s\` has no attribute \`%s\`" "$type" "$name" && return
      elif [[ $seen == *",$name,"* ]]; then
        printf "attribute \`%s\` is given twice" "$name" && return
      fi
      seen+="$name,"
    done < <(tr ';' '\n' <<<"$attributes")
  fi
}

# Prints what is wrong with a name by the platform's rules; nothing if it is valid.
problem_with_serial() {
  if [[ -n $SERIAL_PATTERN && ! $1 =~ $SERIAL_PATTERN ]]; then printf "\`%s\` does not match identity.serial.pattern" "$1"; fi
}

# Reads a manifest into ROWS. Every line is checked first: a manifest is accepted as a whole or not at all.
read_manifest() {
  local file=$1 header line number=1 wrong=0 problem index cells columns device type zone csr attributes serial seen=$'\n' serials=$'\n'
  [[ -f $file ]] || fail "there is no file $file"
  IFS= read -r header <"$file" || [[ -n ${header:-} ]] || fail "$file is empty"
  header=${header%$'\r'}
  IFS=, read -r -a columns <<<"$header"
  for index in device type zone; do
    [[ ",$header," == *",$index,"* ]] || fail "$file:1: there is no column \`$index\`" 'the first line names the columns: device,type,zone and if wanted csr,attributes,serial'
  done
  for index in "${columns[@]}"; do
    case $index in
      device | type | zone | csr | attributes | serial) ;;
      *) fail "$file:1: no column is called \`$index\`" 'there are device, type, zone, csr, attributes and serial' ;;
    esac
  done
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    line=${line%$'\r'}
    if [[ -z $line ]]; then continue; fi
    device='' type='' zone='' csr='' attributes='' serial='' problem=''
    IFS=, read -r -a cells <<<"$line,"
    for ((index = 0; index < ${#columns[@]}; index++)); do
      case ${columns[index]} in
        device) device=${cells[index]:-} ;;
        type) type=${cells[index]:-} ;;
        zone) zone=${cells[index]:-} ;;
        csr) csr=${cells[index]:-} ;;
        attributes) attributes=${cells[index]:-} ;;
        serial) serial=${cells[index]:-} ;;
      esac
    done
    # The serial that a device uses before it has a name; usually they are the same.
    serial=${serial:-$device}
    if [[ $line == *'"'* ]]; then
      problem='no cell is quoted here'
    elif ((${#cells[@]} > ${#columns[@]})); then
      problem='it has more cells than the first line'
    elif [[ $seen == *$'\n'"$device"$'\n'* ]]; then
      problem="\`$device\` is in the file twice"
    elif [[ $serials == *$'\n'"$serial"$'\n'* ]]; then
      problem="serial \`$serial\` is in the file twice"
    elif ((${SERVER_KEYS:-0})) && [[ -n $csr ]]; then
      problem='the device made a request of its own, and with --insecure-server-keys AWS would make its key'
    else
      problem=$(problem_with "$device" "$type" "$zone" "$attributes" "$csr")
      if [[ -z $problem && ! $serial =~ $DEVICE_ID ]]; then
        problem='a serial has 1 to 128 letters, digits, :, _ or -, and does not begin with -'
      elif [[ -z $problem && $SERIAL_COLUMN == serial ]]; then
        problem=$(problem_with_serial "$serial")
      elif [[ -z $problem ]]; then
        problem=$(problem_with_serial "$device")
      fi
    fi
    if [[ -n $problem ]]; then
      note "$file:$number: $problem"
      wrong=$((wrong + 1))
    fi
    seen+=$device$'\n'
    serials+=$serial$'\n'
    ROWS+=("$device$COLUMN$type$COLUMN$zone$COLUMN$attributes$COLUMN$csr$COLUMN$serial")
  done < <(tail -n +2 -- "$file")
  ((wrong == 0)) || fail "$file has $wrong wrong line$( ((wrong == 1)) || echo s): nothing was done" 'fix what is reported and run this again'
}
