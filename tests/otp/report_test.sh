#!/usr/bin/env bash
# Reports of abnormal ends are JSON, with the same keys whatever ended, and none is
# lost from the count in a storm.
set -u
cd "${WEFT_SRCDIR:-$(dirname "$0")/../..}" || exit 1
program=$(realpath "${WEFT_BUILDDIR:-build/plain}")/tests/otp/report_program
[ -x "$program" ] || { echo "1..0 # SKIP no $program"; exit 0; }
perl -MJSON::PP -e 1 2>/dev/null || { echo "1..0 # SKIP this perl has no JSON::PP"; exit 0; }

n_storm=3000
"$program" $n_storm 2>&1 >/dev/null | perl -MJSON::PP -e '
  use strict;
  my $n_storm = shift;
  my ($n_bad, $n_tasks, $n_out, $n_long, %by, @all) = (0, 0, 0, 0);

  while (my $line = <STDIN>) {
      my $record = eval { decode_json($line) };

      if (ref $record ne "HASH") { $n_bad++; print STDERR "# no JSON: $line"; next }
      $n_long++ if length $line >= 4096;
      $n_out += $record->{left_out} // 0;
      $n_out += $1 if $record->{text} =~ /^(\d+) records were left out/;
      $n_tasks++ if $record->{text} eq "Task terminating";
      push @all, $record;
      push @{$by{$record->{fields}{what} // "none"}}, $record;
  }

  my $n = 0;
  my $failed = 0;
  sub check {
      my ($name, $is_right, $seen) = @_;
      $n++;
      print $is_right ? "ok" : "not ok", " $n - $name\n";
      return if $is_right;
      $failed = 1;
      print STDERR "# ", encode_json(ref $seen ? $seen : [$seen]), "\n";
  }
  # Each key has a value that matches.
  sub has {
      my ($record, %want) = @_;
      for my $key (keys %want) {
          my $value = $record->{fields}{$key};
          $value = encode_json($value) if ref $value;
          return 0 unless defined $value && $value =~ $want{$key};
      }
      return 1;
  }

  print "1..9\n";
  check("every line is an object of JSON, and within its bound", $n_bad == 0 && $n_long == 0 && @all > 0, [$n_bad, $n_long]);

  my @ends = map { @{$by{$_} // []} } qw(process task server child supervisor);
  my @short = grep { !has($_, what => qr/./, pid => qr/^#PID<\d+\.\d+>$/, reason => qr/./) } @ends;
  check("every end has what, pid and reason", @short == 0 && @ends > 50, $short[0]);

  my ($process, $handler) = @{$by{process} // []};
  check("a process is reported with its stack, in order",
      has($process, function => qr/^process_that_errs/, stack => qr/^\["gives_up\+0x\w+","process_that_errs\+0x\w+"\]$/),
      $process);
  check("a handler that faulted, with the stack of the fault, its message and its label",
      has($handler, reason => qr/^\{:sigsegv, %\{/, stack => qr/^\["handler_that_faults/,
          last_message => qr/^\{:open, "a /) && $handler->{label} eq q(the "label"), $handler);
  my $task = $by{task}[0];
  check("a task, with a reason that is cut, and what is small beside it",
      has($task, reason => qr/^\{:large, "abc.*\.\.\.$/, function => qr/^task_that_exits$/, stack => qr/task_that_exits/,
          started_from => qr/^#PID/) && $task->{cut}, $task);
  my $server = $by{server}[0];
  check("a server, with the child that it is, its last message and who waits",
      has($server, name => qr/^the_room$/, module => qr/^Room$/, child => qr/^\{:room, "7"\}$/, supervisor => qr/^#PID/,
          last_message => qr/^\{"enter":0\}$/, client => qr/^#PID/, reason => qr/bad_request/, stack => qr/room_call/),
      $server);
  my $child = $by{child}[0];
  check("a child, by its supervisor",
      has($child, child => qr/^\{:room, "7"\}$/, supervisor => qr/^#PID/, reason => qr/bad_request/)
      && $child->{fields}{pid} eq $server->{fields}{pid}, $child);
  my $supervisor = $by{supervisor}[0];
  check("a supervisor that gives up, with the ends that made it",
      has($supervisor, reason => qr/^shutdown$/, max_restarts => qr/^1$/, endings => qr/^\[.*room.*room/), $supervisor);
  check("in a storm what is written and what was left out are all",
      $n_out > 0 && $n_tasks + $n_out == $n_storm + 1, [$n_tasks, $n_out]);
  exit $failed;
' $n_storm
